// Keeps the page up to date: the server sends the road as HTML whenever it has changed.
"use strict";
import { ages, follow } from "/static/times.js";

(() => {
  const road = document.getElementById("road");
  const live = document.getElementById("live");
  let shown = parts(road); // what each part was before times were put into words

  function parts(root) {
    return new Map([...root.querySelectorAll("[data-key]")].map((e) => [e.dataset.key, e.outerHTML]));
  }

  // Only parts that changed are replaced, so that a selection elsewhere stays.
  function show(html) {
    const next = document.createElement("template");
    next.innerHTML = html;
    const now = parts(next.content);
    if ([...now.keys()].join("\n") !== [...shown.keys()].join("\n")) {
      road.replaceChildren(next.content);
    } else {
      const old = new Map([...road.querySelectorAll("[data-key]")].map((e) => [e.dataset.key, e]));
      for (const e of [...next.content.querySelectorAll("[data-key]")]) {
        if (shown.get(e.dataset.key) !== now.get(e.dataset.key)) old.get(e.dataset.key).replaceWith(e);
      }
    }
    shown = now;
    ages();
  }

  function state(word, tone) {
    live.textContent = word;
    live.className = "chip " + tone;
  }

  const source = new EventSource("/live");
  source.addEventListener("open", () => state("live", "good"));
  source.addEventListener("road", (e) => show(JSON.parse(e.data)));
  source.addEventListener("error", () => {
    state("connecting", "wait");
    if (source.readyState === EventSource.CLOSED) location.reload(); // the session has ended: the login follows
  });
  follow();
})();
