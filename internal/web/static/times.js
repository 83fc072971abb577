// Says how long ago or how soon each time of the page is; the moment itself is its title.
"use strict";

function span(seconds) {
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 2 * 86400) return Math.floor(seconds / 3600) + " h";
  return Math.floor(seconds / 86400) + " d";
}

export function ages() {
  for (const t of document.querySelectorAll("time")) {
    const seconds = (Date.now() - Date.parse(t.dateTime)) / 1000;
    // Clocks differ a little: what is hardly in the future is now.
    const text = seconds > -5 ? span(Math.max(0, seconds)) + " ago" : "in " + span(-seconds);
    t.title = t.dateTime;
    if (t.textContent !== text) t.textContent = text;
  }
}

export function follow() {
  ages();
  setInterval(ages, 1000);
}
