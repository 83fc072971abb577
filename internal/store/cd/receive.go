package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// Receive is bridge.Inbox's. Deliveries that arrive at once share one transaction.
func (s *Store) Receive(ctx context.Context, m bridge.Message) ([]bridge.Event, bool, error) {
	l := newLetter(m, s.db.Now())
	if len(l.events) == 0 {
		return nil, false, fmt.Errorf("receive %s of %s: it holds nothing", l.from.key, l.from.receiver)
	}
	err := s.inbox.post(ctx, l, s.keepBatch)
	return l.kept, l.fresh, err
}

// newLetter makes the rows of m, with no text that the database does not take.
func newLetter(m bridge.Message, now time.Time) *letter {
	l := &letter{from: source{key(m.Receiver), key(m.Sender), key(m.Key)}, raw: m.Body}
	base := bridge.Event{
		Receiver: l.from.receiver, Sender: l.from.sender, Key: l.from.key, Applications: m.Applications,
		State: bridge.EventReceived, Received: now,
	}
	if len(m.Facts) == 0 && m.Wrong != "" {
		e := base
		e.State, e.Reason = bridge.EventDead, clip(m.Wrong)
		l.add(e)
	}
	for i, f := range m.Facts {
		e := base
		e.Part, e.Fact = i, f
		l.add(e)
	}
	if len(m.Headers) > 0 {
		l.headers = marshal(m.Headers)
	}
	return l
}

func (l *letter) add(e bridge.Event) {
	e, body := readable(e)
	l.events, l.bodies = append(l.events, e), append(l.bodies, body)
}

// readable is e as its row keeps it, with the row's body. A fact that would not be read
// back leaves out what is wrong with it; when that is what it tells of, the event is dead
// and says why, so that it is lost in no case.
func readable(e bridge.Event) (bridge.Event, string) {
	f := e.Fact
	if y := f.At.Year(); y < 0 || y > 9999 {
		f.At = time.Time{} // no JSON holds it
	}
	if f.Artifact != (artifact.Reference{}) {
		if _, err := artifact.ParseReference(f.Artifact.String()); err != nil {
			e.State, e.Reason = bridge.EventDead, clip("its artifact cannot be read: "+err.Error())
			f.Artifact = artifact.Reference{}
		}
	}
	body, err := f.JSON()
	if err != nil {
		e.State, e.Reason = bridge.EventDead, clip("it cannot be kept as it is: "+err.Error())
		f = bridge.Fact{Kind: f.Kind, Type: f.Type}
		return readable(bridge.Event{
			ID: e.ID, Receiver: e.Receiver, Key: e.Key, Part: e.Part, Sender: e.Sender, Applications: e.Applications,
			Fact: f, State: e.State, Reason: e.Reason, Attempts: e.Attempts, Received: e.Received,
		})
	}
	text := string(body)
	if strings.Contains(text, `\ufffd`) { // something was no UTF-8: the caller sees what the row says
		if back, err := unmarshal[bridge.Fact](text, "event"); err == nil {
			f = back
		}
	}
	e.Fact = f
	return e, text
}

// errMeanwhile says that another replica kept one of the deliveries in this instant, which
// is not to be seen inside the transaction.
var errMeanwhile = errors.New("another replica was at it in the same instant")

// maxMeanwhile is how often a transaction is repeated for another replica's sake.
const maxMeanwhile = 5

// inAlone runs fn as in does, and again when another replica came between.
func (s *Store) inAlone(ctx context.Context, fn func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error) error {
	for range maxMeanwhile {
		err := s.in(ctx, fn)
		if !errors.Is(err, errMeanwhile) {
			return err
		}
	}
	return fault.Wrap(fault.Unavailable, errMeanwhile, "other servers receive the same right now").WithHint("send it again")
}

// keepBatch keeps a batch in one transaction; where that fails for a reason that may be
// one delivery's, each in its own.
func (s *Store) keepBatch(ctx context.Context, batch []*letter) {
	err := s.inAlone(ctx, func(ctx context.Context, tx *store.Tx, _ *sqlc.Queries) error { return s.keep(ctx, tx, batch) })
	if err != nil && len(batch) > 1 && !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Full) {
		for _, l := range batch {
			s.keepBatch(ctx, []*letter{l})
		}
		return
	}
	for _, l := range batch {
		if l.err = err; err != nil {
			l.kept, l.fresh = nil, false
		}
	}
	s.arrivals.add(batch)
}

// keep keeps letters within tx; those that are there already get the events that were kept.
func (s *Store) keep(ctx context.Context, tx *store.Tx, letters []*letter) error {
	known, err := keptOf(ctx, tx.SQL, letters)
	if err != nil {
		return err
	}
	var fresh []*letter
	first := map[source]*letter{}
	for _, l := range letters {
		l.kept, l.fresh = known[l.from], false
		if l.kept == nil && first[l.from] == nil {
			first[l.from], fresh = l, append(fresh, l)
		}
	}
	if err := s.insert(ctx, tx, fresh); err != nil {
		return err
	}
	for _, l := range letters {
		if l.kept == nil { // it came twice in this batch
			l.kept = first[l.from].kept
		}
	}
	return nil
}

// A question of its own for each delivery: for one over all of them PostgreSQL reads the
// whole table as long as it has no figures of it.
const knownSQL = `SELECT v.column1, v.column2, v.column3 FROM (%s) AS v WHERE
(SELECT e.id FROM event e WHERE e.receiver = v.column1 AND e.sender = v.column2 AND e.event_key = v.column3 AND e.part = 0) IS NOT NULL`

// keptOf finds the events of letters that were kept before.
func keptOf(ctx context.Context, tx *sql.Tx, letters []*letter) (map[source][]bridge.Event, error) {
	n := 1
	for n < len(letters) {
		n *= 2 // few texts, which the database knows already
	}
	args := make([]any, 0, 3*n)
	for i := range n {
		from := letters[min(i, len(letters)-1)].from
		args = append(args, from.receiver, from.sender, from.key)
	}
	rows, err := tx.QueryContext(ctx, fmt.Sprintf(knownSQL, store.Values(n, 3)), args...)
	if err != nil {
		return nil, fmt.Errorf("look for %d deliveries: %w", len(letters), err)
	}
	known, err := sources(rows)
	if err != nil {
		return nil, fmt.Errorf("look for %d deliveries: %w", len(letters), err)
	}
	for from := range known {
		parts, err := sqlc.New(tx).EventParts(ctx, sqlc.EventPartsParams{Receiver: from.receiver, Sender: from.sender, EventKey: from.key})
		if known[from], err = events(parts, err); err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", from.key, from.receiver, err)
		}
	}
	return known, nil
}

func sources(rows *sql.Rows) (map[source][]bridge.Event, error) {
	defer rows.Close() //nolint:errcheck // rows.Err tells
	out := map[source][]bridge.Event{}
	for rows.Next() {
		var from source
		if err := rows.Scan(&from.receiver, &from.sender, &from.key); err != nil {
			return nil, err
		}
		out[from] = nil
	}
	return out, rows.Err()
}

// insert inserts the events of letters that are new, with their deliveries as they arrived
// and audit entries.
func (s *Store) insert(ctx context.Context, tx *store.Tx, letters []*letter) error {
	n := 0
	for _, l := range letters {
		n += len(l.events)
	}
	if n == 0 {
		return nil
	}
	id, err := tx.NextOf(ctx, "event", int64(n))
	if err != nil {
		return err
	}
	var rows []any
	var entries []audit.Entry
	for _, l := range letters {
		l.kept, l.fresh = make([]bridge.Event, len(l.events)), true
		for i, e := range l.events {
			e.ID = id
			id++
			l.kept[i] = e
			rows = append(rows, eventRow(e, l.bodies[i])...)
			entries = append(entries, arrived(e))
		}
	}
	inserted, err := store.InsertRows(ctx, tx.SQL, insertEventSQL, eventColumns, rows)
	if err != nil {
		return fmt.Errorf("insert %d events: %w", n, err)
	}
	if inserted != int64(n) {
		return errMeanwhile
	}
	if err := insertRaw(ctx, tx, letters); err != nil {
		return err
	}
	return tx.Record(ctx, entries...)
}

// insertWithTasks is insert for events that are not sorted first.
func (s *Store) insertWithTasks(ctx context.Context, tx *store.Tx, l *letter) error {
	if err := s.insert(ctx, tx, []*letter{l}); err != nil {
		return err
	}
	var tasks []store.Task
	for _, e := range l.kept {
		if e.State == bridge.EventReceived {
			tasks = append(tasks, store.Task{Name: TaskEvent, ID: e.ID})
		}
	}
	return tx.EnqueueAll(ctx, tasks)
}

const (
	insertEventSQL = `INSERT INTO event (id, receiver, sender, event_key, part, state, applications, image, body, reason, attempts, received_ms)
VALUES ON CONFLICT (receiver, sender, event_key, part) DO NOTHING`
	eventColumns = 12
	insertRawSQL = `INSERT INTO event_raw (event, headers, body, upto, received_ms) VALUES`
	rawColumns   = 5
	rawOverhead  = 64 // bytes of a row beside headers and body, about
)

func eventRow(e bridge.Event, body string) []any {
	image := ""
	if e.Fact.Kind == bridge.KindArtifact {
		image = clean(e.Fact.Artifact.Name())
	}
	return []any{
		e.ID, e.Receiver, e.Sender, e.Key, int64(e.Part), string(e.State), applications(e.Applications), image, body,
		e.Reason, int64(e.Attempts), store.Millis(e.Received),
	}
}

// insertRaw keeps what was kept before, as it arrived, beside the first event of each letter.
func insertRaw(ctx context.Context, tx *store.Tx, letters []*letter) error {
	var rows []any
	var size int64
	for _, l := range letters {
		if len(l.raw) == 0 && l.headers == "" {
			continue
		}
		size += int64(len(l.raw)+len(l.headers)) + rawOverhead
		headers, raw := l.headers, l.raw
		if headers == "" {
			headers = "{}"
		}
		if raw == nil {
			raw = []byte{}
		}
		rows = append(rows, l.kept[0].ID, headers, raw, size, store.Millis(l.kept[0].Received))
	}
	if len(rows) == 0 {
		return nil
	}
	first, err := tx.NextOf(ctx, "event.raw", size)
	if err != nil {
		return err
	}
	for i := 3; i < len(rows); i += rawColumns {
		n, _ := rows[i].(int64)
		rows[i] = first - 1 + n
	}
	if _, err := store.InsertRows(ctx, tx.SQL, insertRawSQL, rawColumns, rows); err != nil {
		return fmt.Errorf("insert deliveries as they arrived: %w", err)
	}
	return nil
}

// arrived is the audit entry of an event that was kept.
func arrived(e bridge.Event) audit.Entry {
	a := entry(orDrawbridge(e.Sender), "event.receive", eventSubject(e.ID))
	a.Chain = clip(e.Fact.Chain)
	a.Detail = map[string]string{"receiver": e.Receiver, "key": e.Key, "type": clip(e.Fact.Type), "subject": clip(e.Fact.Subject)}
	if e.State == bridge.EventDead {
		a.Action, a.Detail["reason"] = "event.dead", e.Reason
	}
	if t := e.Fact.Trigger; t != nil {
		a.Application = clip(t.Application)
	}
	return a
}

func eventSubject(id int64) string { return "event/" + strconv.FormatInt(id, 10) }

// applications is the column: ” for all, else an array, also when it is empty.
func applications(list []string) string {
	if list == nil {
		return ""
	}
	return marshal(list)
}
