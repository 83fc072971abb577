package cli

import (
	"context"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"drawbridge/internal/web/client"
)

// listing is a command that lists things of type T.
type listing[T any] struct {
	remote
	path  string             // of the API
	query map[string]*string // filters by their parameter; empty ones are left out
	limit int
	head  []string
	row   func(T) []string
	none  string // what to say when there is nothing
}

// flags adds the flags that every listing has.
func (l *listing[T]) flags(cmd *cobra.Command) {
	l.remote.flags(cmd)
	cmd.Flags().IntVarP(&l.limit, "limit", "n", 50, "at most `N`, 0 for all")
}

// filter adds a flag, and sends what it says as the parameter of the same name.
func (l *listing[T]) filter(cmd *cobra.Command, name, usage string) {
	l.query[name] = cmd.Flags().String(name, "", usage)
}

// run prints the list: as a table, or as a JSON array.
func (l *listing[T]) run(ctx context.Context) error {
	api, err := l.console.dial(l.connection)
	if err != nil {
		return err
	}
	items, more := []T{}, false
	for item, err := range client.Each[T](ctx, api, l.address()) {
		if err != nil {
			return err
		}
		if more = l.limit > 0 && len(items) == l.limit; more {
			break
		}
		items = append(items, item)
	}
	if more {
		l.console.say("there are more: --limit 0 lists all")
	}
	return l.console.show(l.format, items, func() {
		if len(items) == 0 {
			l.console.say("%s", l.none)
			return
		}
		rows := make([][]string, len(items))
		for i, item := range items {
			rows[i] = l.row(item)
		}
		l.console.table(l.head, rows)
	})
}

func (l *listing[T]) address() string {
	q := url.Values{}
	for key, value := range l.query {
		if *value != "" {
			q.Set(key, *value)
		}
	}
	if l.limit > 0 && l.limit < pageSize {
		q.Set("limit", strconv.Itoa(l.limit+1)) // one more tells whether there is more
	}
	return withQuery(l.path, q)
}

// pageSize is what a server sends at once when it is not asked for fewer.
const pageSize = 100

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
