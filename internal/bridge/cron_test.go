package bridge_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones, whatever the machine has

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

func schedule(t *testing.T, cron, zone string) bridge.Schedule {
	t.Helper()
	s, err := bridge.ParseSchedule(cron, zone)
	if err != nil {
		t.Fatalf("ParseSchedule(%q, %q): %v", cron, zone, err)
	}
	return s
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestScheduleNext(t *testing.T) {
	for name, c := range map[string]struct {
		cron, zone, after string
		want              []string // RFC 3339 with the zone's offset
	}{
		"every day, UTC by default":   {"0 3 * * *", "", "2026-01-01T03:00:00Z", []string{"2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z"}},
		"a second before":             {"0 3 * * *", "UTC", "2026-01-01T02:59:59Z", []string{"2026-01-01T03:00:00Z"}},
		"names of days":               {"0 9 * * mon-fri", "UTC", "2026-11-20T10:00:00Z", []string{"2026-11-23T09:00:00Z"}},
		"@weekly":                     {"@weekly", "Asia/Kathmandu", "2026-11-20T00:00:00Z", []string{"2026-11-22T00:00:00+05:45"}},
		"either day":                  {"0 0 13 * 5", "UTC", "2026-11-01T00:00:00Z", []string{"2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"}},
		"leap day":                    {"0 12 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"2028-02-29T12:00:00Z", "2032-02-29T12:00:00Z"}},
		"no leap day for eight years": {"0 12 29 2 *", "Europe/Berlin", "2096-03-01T00:00:00Z", []string{"2104-02-29T12:00:00+01:00"}},
		"Kathmandu":                   {"45 23 * * *", "Asia/Kathmandu", "2026-06-01T17:59:59Z", []string{"2026-06-01T23:45:00+05:45", "2026-06-02T23:45:00+05:45"}},

		"Berlin, spring: in the gap":        {"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		"Berlin, spring: a minute before":   {"30 2 * * *", "Europe/Berlin", "2026-03-29T00:59:59Z", []string{"2026-03-29T03:00:00+02:00"}},
		"Berlin, spring: once for many":     {"*/10 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		"Berlin, spring: gap and its end":   {"0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		"Berlin, spring: every hour":        {"30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00Z", []string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"}},
		"Berlin, autumn: the first":         {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		"Berlin, autumn: asked between":     {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", []string{"2026-10-26T02:30:00+01:00"}},
		"Berlin, autumn: every hour":        {"@hourly", "Europe/Berlin", "2026-10-24T23:30:00Z", []string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		"New York, spring":                  {"15 2 8 3 *", "America/New_York", "2026-01-01T00:00:00Z", []string{"2026-03-08T03:00:00-04:00", "2027-03-08T02:15:00-05:00"}},
		"New York, autumn":                  {"30 1 * * 0", "America/New_York", "2026-10-31T12:00:00Z", []string{"2026-11-01T01:30:00-04:00", "2026-11-08T01:30:00-05:00"}},
		"Lord Howe, spring: half an hour":   {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		"Lord Howe, autumn: half an hour":   {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", []string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		"Sao Paulo 2018: no midnight":       {"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", []string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		"Apia 2011: a day that never was":   {"0 9 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", []string{"2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"}},
		"local mean time, odd seconds":      {"0 12 * * *", "Europe/Berlin", "1890-01-01T00:00:00Z", []string{"1890-01-01T12:00:00+00:53"}},
		"30 February never comes":           {"0 0 30 2 *", "Europe/Berlin", "2026-01-01T00:00:00Z", []string{""}},
		"30 February, from the year one on": {"0 0 30 2 *", "Europe/Berlin", "0001-01-01T00:00:00Z", []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			s, at := schedule(t, c.cron, c.zone), instant(t, c.after)
			for _, want := range c.want {
				got, text := s.Next(at), ""
				if !got.IsZero() {
					text = got.Format(time.RFC3339)
				}
				if text != want {
					t.Fatalf("Next(%s) = %q, want %q", at.Format(time.RFC3339), text, want)
				}
				at = got
			}
		})
	}
	if at := (bridge.Schedule{}).Next(time.Unix(0, 0)); !at.IsZero() {
		t.Errorf("the zero schedule fires at %s", at)
	}
}

// TestScheduleAgainstAClock compares with a clock that is looked at in every minute.
func TestScheduleAgainstAClock(t *testing.T) {
	rules := map[string]struct {
		everyHour bool
		fits      func(w time.Time) bool
	}{
		"* * * * *":       {true, func(time.Time) bool { return true }},
		"*/20 * * * *":    {true, func(w time.Time) bool { return w.Minute()%20 == 0 }},
		"0 0-23 * * *":    {true, func(w time.Time) bool { return w.Minute() == 0 }},
		"15 1-3 * * *":    {false, func(w time.Time) bool { return w.Minute() == 15 && w.Hour() >= 1 && w.Hour() <= 3 }},
		"*/15 */2 * * *":  {false, func(w time.Time) bool { return w.Minute()%15 == 0 && w.Hour()%2 == 0 }},
		"0,30 0-22 * * *": {false, func(w time.Time) bool { return w.Minute()%30 == 0 && w.Hour() <= 22 }},
		"5 2 * * sun":     {false, func(w time.Time) bool { return w.Minute() == 5 && w.Hour() == 2 && w.Weekday() == 0 }},
		"0 0 * * *":       {false, func(w time.Time) bool { return w.Minute() == 0 && w.Hour() == 0 }},
		"59 23 1,4,30 * 6": {false, func(w time.Time) bool {
			return w.Minute() == 59 && w.Hour() == 23 && (slices.Contains([]int{1, 4, 30}, w.Day()) || w.Weekday() == 6)
		}},
	}
	for _, c := range []struct{ zone, from string }{
		{"Europe/Berlin", "2026-03-27T12:00:00Z"},
		{"Europe/Berlin", "2026-10-23T12:00:00Z"},
		{"America/New_York", "2026-03-06T12:00:00Z"},
		{"America/New_York", "2026-10-30T12:00:00Z"},
		{"Australia/Lord_Howe", "2026-04-03T12:00:00Z"},
		{"Australia/Lord_Howe", "2026-10-02T12:00:00Z"},
		{"America/Havana", "2026-03-06T12:00:00Z"},
		{"America/Havana", "2026-10-30T12:00:00Z"},
		{"Europe/Dublin", "2026-10-23T12:00:00Z"},
		{"Africa/Casablanca", "2026-02-13T12:00:00Z"},
		{"Pacific/Apia", "2011-12-28T12:00:00Z"},
		{"Asia/Kathmandu", "2026-02-27T00:00:00Z"},
		{"Europe/Berlin", "2096-12-29T12:00:00Z"},
		{"Australia/Lord_Howe", "2096-12-29T12:00:00Z"},
		{"Europe/Berlin", "2097-03-29T12:00:00Z"},
	} {
		place, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		from := instant(t, c.from)
		until := from.Add(4 * 24 * time.Hour)
		for cron, r := range rules {
			want := fires(place, from, until, r.fits, r.everyHour)
			var got []string
			s := schedule(t, cron, c.zone)
			for at := s.Next(from); !at.After(until); at = s.Next(at) {
				got = append(got, at.Format(time.RFC3339))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in %s from %s:\n got %v\nwant %v", cron, c.zone, c.from, got, want)
			}
		}
	}
}

// fires is the same by brute force: what the clock shows in each minute in (from, until].
func fires(place *time.Location, from, until time.Time, fits func(time.Time) bool, everyHour bool) []string {
	shows := func(at time.Time) time.Time {
		_, offset := at.In(place).Zone()
		return at.UTC().Add(time.Duration(offset) * time.Second)
	}
	seen := map[time.Time]bool{}
	var out []string
	// The day before counts as seen, so that its repetition is known as one.
	for at := from.Add(-24 * time.Hour); !at.After(until); at = at.Add(time.Minute) {
		w, before := shows(at), shows(at.Add(-time.Minute))
		fire := fits(w) && (everyHour || !seen[w])
		for gap := before.Add(time.Minute); gap.Before(w); gap = gap.Add(time.Minute) {
			fire = fire || !everyHour && fits(gap)
		}
		seen[w] = true
		if fire && at.After(from) {
			out = append(out, at.In(place).Format(time.RFC3339))
		}
	}
	return out
}

func TestScheduleIsMonotone(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"}
	crons := []string{"* * * * *", "7 * * * *", "30 2 * * *", "*/7 1-3 * * *", "0 0 1 * *", "0 12 29 2 *", "59 23 31 12 5"}
	for range 2000 {
		cron, zone := crons[r.IntN(len(crons))], zones[r.IntN(len(zones))]
		s := schedule(t, cron, zone)
		a := time.Unix(r.Int64N(4e9), r.Int64N(1e9))
		b := a.Add(time.Duration(r.Int64N(int64(72 * time.Hour))))
		na, nb := s.Next(a), s.Next(b)
		if !na.After(a) || nb.Before(na) {
			t.Fatalf("seed %d: %s in %s: Next(%s) = %s, Next(%s) = %s", seed, cron, zone, a, na, b, nb)
		}
		if na.After(b) != na.Equal(nb) {
			t.Fatalf("seed %d: %s in %s: no time in (%s, %s], but Next is %s and %s", seed, cron, zone, a, b, na, nb)
		}
	}
}

func TestScheduleMissed(t *testing.T) {
	daily := schedule(t, "0 3 * * *", "Europe/Berlin")
	for name, c := range map[string]struct {
		s         bridge.Schedule
		last, now string
		latest    string
		count     int
	}{
		"none":                      {daily, "2026-11-20T02:00:00Z", "2026-11-21T01:59:59Z", "", 0},
		"now counts, last does not": {daily, "2026-11-20T02:00:00Z", "2026-11-21T02:00:00Z", "2026-11-21T03:00:00+01:00", 1},
		"three":                     {daily, "2026-11-20T02:00:00Z", "2026-11-23T12:00:00Z", "2026-11-23T03:00:00+01:00", 3},
		"a clock that went back":    {daily, "2026-11-20T02:00:00Z", "2026-11-01T02:00:00Z", "", 0},
		"exactly a thousand":        {schedule(t, "* * * * *", ""), "2026-01-01T00:00:00Z", "2026-01-01T16:40:59Z", "2026-01-01T16:40:00Z", 1000},
		"more than are counted":     {schedule(t, "* * * * *", ""), "2016-01-01T00:00:00Z", "2026-06-07T08:09:10Z", "2026-06-07T08:09:00Z", 1000},
		"rare and long ago":         {schedule(t, "*/5 3 * * *", "Europe/Berlin"), "1970-01-01T00:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29T03:55:00+02:00", 1000},
		"never":                     {schedule(t, "0 0 31 4 *", ""), "1970-01-01T00:00:00Z", "2026-03-29T12:00:00Z", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			latest, count := c.s.Missed(instant(t, c.last), instant(t, c.now))
			text := ""
			if !latest.IsZero() {
				text = latest.Format(time.RFC3339)
			}
			if text != c.latest || count != c.count {
				t.Errorf("got %s, %d, want %s, %d", text, count, c.latest, c.count)
			}
		})
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	for name, c := range map[string]struct{ cron, zone, field, message string }{
		"nothing":            {"", "", "cron", "no schedule"},
		"four fields":        {"* * * *", "", "cron", "no schedule"},
		"seconds":            {"0 * * * * *", "", "cron", "seconds are not supported"},
		"seven fields":       {"0 * * * * * *", "", "cron", "no schedule"},
		"minute 60":          {"60 * * * *", "", "cron", "no schedule"},
		"a step of nothing":  {"*/0 * * * *", "", "cron", "no schedule"},
		"backwards":          {"5-1 * * * *", "", "cron", "no schedule"},
		"day zero":           {"0 0 0 * *", "", "cron", "no schedule"},
		"a negative number":  {"-1 * * * *", "", "cron", "no schedule"},
		"an unknown name":    {"0 0 * * someday", "", "cron", "no schedule"},
		"a hidden zone":      {"TZ=UTC 0 0 * * *", "", "cron", "holds a time zone"},
		"a zone alone":       {"CRON_TZ=", "", "cron", "holds a time zone"},
		"an interval":        {"@every 1h", "", "cron", "bound to no clock"},
		"at boot":            {"@reboot", "", "cron", "no schedule"},
		"a long text":        {strings.Repeat("1,", 200) + "1 * * * *", "", "cron", "at most 200"},
		"an unknown zone":    {"0 0 * * *", "Europe/Atlantis", "timezone", "no time zone"},
		"the server's zone":  {"0 0 * * *", "Local", "timezone", "another zone on each server"},
		"a path out":         {"0 0 * * *", "../../etc/passwd", "timezone", "no time zone"},
		"an absolute path":   {"0 0 * * *", "/etc/localtime", "timezone", "no time zone"},
		"an abbreviation":    {"0 0 * * *", "CEST", "timezone", "no time zone"},
		"a long name":        {"0 0 * * *", strings.Repeat("a", 65), "timezone", "at most 64"},
		"an offset, no zone": {"0 0 * * *", "+02:00", "timezone", "no time zone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bridge.ParseSchedule(c.cron, c.zone)
			f := fault.As(err)
			if f == nil || f.Kind != fault.Invalid || f.Field != c.field || !strings.Contains(f.Message, c.message) {
				t.Errorf("got %v, want field %s and %q", err, c.field, c.message)
			}
		})
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, s := range []string{"* * * * *", "*/5 1-3 1,15 jan mon", "@daily", "TZ=x", "0 0 30 2 *", "@every 5m", "? ? ? ? ?", "*/* * * * *"} {
		f.Add(s, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, cron, zone string) {
		s, err := bridge.ParseSchedule(cron, zone)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("ParseSchedule(%q, %q): %v is no fault of the user", cron, zone, err)
			}
			return
		}
		at := time.Unix(1.7e9, 5)
		if next := s.Next(at); !next.IsZero() && (!next.After(at) || next.Second() != 0) {
			t.Fatalf("%q in %q: Next(%s) = %s", cron, zone, at, next)
		}
	})
}

func BenchmarkScheduleNext(b *testing.B) {
	s, err := bridge.ParseSchedule("30 2 * * 1-5", "Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	for at := time.Unix(1.7e9, 0); b.Loop(); {
		at = s.Next(at)
	}
}
