package bridge

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is the times of a schedule trigger: five cron fields, read on the clock of a place.
//
// Where clocks change, a time that does not exist (02:30 on the night when summer time
// begins) fires once at the first instant after the gap, and a time that exists twice fires
// once, the first time. A schedule of every hour ("*/5 * * * *", "30 * * * *") is not bound to
// an hour of the day: it goes on through both by what the clock shows.
//
// The zero value never fires. A Schedule never changes and is safe for concurrent use.
type Schedule struct {
	minute, hour, dom, month, dow uint64 // a bit for each value
	anyDom, anyDow                bool   // the field is *
	place                         *time.Location
}

const (
	maxCron   = 200  // bytes of a schedule
	maxYears  = 10   // that Next looks ahead: longer than between two leap days
	maxMissed = 1000 // that Missed counts
	starBit   = 1 << 63
)

// ParseSchedule reads five cron fields (minute, hour, day of month, month, day of week, with
// lists, ranges, steps and English names; either day is enough where both are given) or one of
// @hourly, @daily, @weekly, @monthly and @yearly, and a name of the IANA time zone database;
// "" is UTC. What is wrong is a fault of kind Invalid with the field "cron" or "timezone".
func ParseSchedule(text, timezone string) (Schedule, error) {
	place, err := parsePlace(timezone)
	if err != nil {
		return Schedule{}, err
	}
	text = strings.TrimSpace(text)
	const hint = "write minute, hour, day of month, month and day of week (Sunday is 0), for example 30 2 * * 1-5"
	switch n := len(strings.Fields(text)); {
	case len(text) > maxCron:
		return Schedule{}, field("cron", "has at most %d characters", maxCron)
	case strings.Contains(text, "="):
		return Schedule{}, field("cron", "%q holds a time zone", text).WithHint("write the zone into timezone")
	case strings.HasPrefix(text, "@every"):
		return Schedule{}, field("cron", "%q is bound to no clock", text).WithHint("write */15 * * * * for every 15 minutes")
	case n == 6:
		return Schedule{}, field("cron", "%q has six fields: seconds are not supported", text).WithHint(hint)
	}
	p := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	parsed, err := p.Parse(text)
	if err != nil {
		return Schedule{}, field("cron", "%q is no schedule: %v", text, err).WithHint(hint)
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Schedule{}, field("cron", "%q is no schedule of a clock", text).WithHint(hint)
	}
	return Schedule{
		minute: s.Minute, hour: s.Hour, dom: s.Dom, month: s.Month, dow: s.Dow,
		anyDom: s.Dom&starBit != 0, anyDow: s.Dow&starBit != 0, place: place,
	}, nil
}

// parsePlace finds a time zone by its name.
func parsePlace(name string) (*time.Location, error) {
	const hint = "write a name of the IANA time zone database, for example Europe/Berlin or UTC"
	if strings.EqualFold(name, "local") {
		return nil, field("timezone", "%q is another zone on each server", name).WithHint(hint)
	}
	const longest = 64
	if len(name) > longest {
		return nil, field("timezone", "has at most %d characters", longest).WithHint(hint)
	}
	place, err := time.LoadLocation(name)
	if err != nil {
		return nil, field("timezone", "%q is no time zone that is known", name).WithHint(hint)
	}
	return place, nil
}

// Next is the first time after the instant after at which s fires, in the schedule's zone,
// whole minutes; zero when it never does (30 February).
func (s Schedule) Next(after time.Time) time.Time {
	if s.place == nil {
		return time.Time{}
	}
	end := after.AddDate(maxYears, 0, 0)
	from := wallOf(after.In(s.place)).Truncate(time.Minute).Add(time.Minute)
	for at := after.In(s.place); at.Before(end); {
		start, stop := bounds(at)
		offset := offsetOf(at)
		if !start.IsZero() && !s.everyHour() { // what the clock showed already does not count again
			from = later(from, wall(start, offsetOf(start.Add(-1))))
		}
		limit := wall(end, offset)
		if !stop.IsZero() {
			limit = sooner(limit, later(wall(stop, offset), wall(stop, offsetOf(stop))))
		}
		w, ok := s.find(from, limit)
		switch {
		case ok && (stop.IsZero() || w.Before(wall(stop, offset))):
			return instant(w, offset).In(s.place)
		case ok && !s.everyHour(): // in the gap
			return stop
		case stop.IsZero():
			return time.Time{}
		}
		at, from = stop, ceil(wall(stop, offsetOf(stop)))
	}
	return time.Time{}
}

// Missed counts the times of s after last and up to now, both as instants, and gives the
// latest of them; zero and 0 when there is none. It counts to 1000 and no further, but the
// latest is right all the same.
func (s Schedule) Missed(last, now time.Time) (latest time.Time, count int) {
	for at := s.Next(last); !at.IsZero() && !at.After(now); at = s.Next(at) {
		latest = at
		if count++; count == maxMissed {
			return s.latest(at, now), count
		}
	}
	return latest, count
}

// latest is the last time of s up to now; low is one of its times.
func (s Schedule) latest(low, now time.Time) time.Time {
	for high := now; ; {
		next := s.Next(low)
		if next.IsZero() || next.After(now) {
			return low
		}
		middle := low.Add(high.Sub(low) / 2)
		if at := s.Next(middle); at.IsZero() || at.After(now) {
			high, low = middle, next
		} else {
			low = at
		}
	}
}

// everyHour reports whether s is bound to no hour of the day.
func (s Schedule) everyHour() bool {
	const hours = 1<<24 - 1
	return s.hour&hours == hours
}

// find is the first time of s on a clock without changes, from from and before limit.
func (s Schedule) find(from, limit time.Time) (time.Time, bool) {
	for w := from; w.Before(limit); {
		y, m, d := w.Date()
		switch {
		case !bit(s.month, int(m)):
			w = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
		case !s.day(w):
			w = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
		case !bit(s.hour, w.Hour()):
			w = w.Truncate(time.Hour).Add(time.Hour)
		case !bit(s.minute, w.Minute()):
			w = w.Add(time.Minute)
		default:
			return w, true
		}
	}
	return time.Time{}, false
}

// day reports whether s fires on w's date: both day fields must fit, or where both are
// given, one.
func (s Schedule) day(w time.Time) bool {
	dom, dow := bit(s.dom, w.Day()), bit(s.dow, int(w.Weekday()))
	if s.anyDom || s.anyDow {
		return dom && dow
	}
	return dom || dow
}

func bit(set uint64, n int) bool { return set>>n&1 == 1 }

// A wall is what a clock shows, kept as the UTC time that looks the same.
func wall(t time.Time, offset time.Duration) time.Time { return t.UTC().Add(offset) }

func wallOf(t time.Time) time.Time { return wall(t, offsetOf(t)) }

// instant is when a clock with this offset shows w.
func instant(w time.Time, offset time.Duration) time.Time { return w.Add(-offset) }

// bounds are the instants around at between which the clock's offset stays, and perhaps
// closer: after 2037 the library cuts years off, and leap years a day early, so that the end
// that it tells may lie before at.
func bounds(at time.Time) (start, stop time.Time) {
	const day = 24 * time.Hour
	start, stop = at.ZoneBounds()
	if !stop.IsZero() && !stop.After(at) {
		stop = at.UTC().Truncate(day).Add(day).In(at.Location())
	}
	return start, stop
}

func offsetOf(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ceil is w, or the next whole minute.
func ceil(w time.Time) time.Time { return w.Add(time.Minute - 1).Truncate(time.Minute) }
