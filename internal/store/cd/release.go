package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// shortest is how much of a release id a person must write.
const shortest = 6

// Release is cd.ReleaseReader's. Besides the whole id it takes what people write: a prefix
// of six digits or more, or APPLICATION@VERSION.
func (s *Store) Release(ctx context.Context, id string) (bridge.Release, error) {
	missing := func(err error) error {
		return found(err, "drawbridge release list", "there is no release %q", id)
	}
	if app, version, ok := strings.Cut(id, "@"); ok {
		body, err := s.read().ReleaseByVersion(ctx, sqlc.ReleaseByVersionParams{Application: app, Version: version})
		if err != nil {
			return bridge.Release{}, missing(err)
		}
		return unmarshal[bridge.Release](body, "release")
	}
	if len(id) == 64 {
		body, err := s.read().Release(ctx, id)
		if err != nil {
			return bridge.Release{}, missing(err)
		}
		return unmarshal[bridge.Release](body, "release")
	}
	return s.byPrefix(ctx, id)
}

func (s *Store) byPrefix(ctx context.Context, prefix string) (bridge.Release, error) {
	if len(prefix) < shortest || strings.Trim(prefix, "0123456789abcdef") != "" {
		return bridge.Release{}, fault.New(fault.Invalid, "%q names no release", prefix).
			WithHint("write APPLICATION@VERSION, or %d or more digits of the id", shortest)
	}
	// "g" follows every hex digit.
	list, err := s.read().ReleasesByPrefix(ctx, sqlc.ReleasesByPrefixParams{Low: prefix, High: prefix + "g"})
	switch {
	case err != nil:
		return bridge.Release{}, store.Fault(err)
	case len(list) == 0:
		return bridge.Release{}, fault.New(fault.NotFound, "there is no release %q", prefix).WithHint("drawbridge release list")
	case len(list) > 1:
		return bridge.Release{}, fault.New(fault.Invalid, "more than one release begins with %q", prefix).WithHint("write more digits")
	}
	return unmarshal[bridge.Release](list[0], "release")
}

// ReleaseBy is bridge.ReleaseRecord's.
func (s *Store) ReleaseBy(ctx context.Context, application, idOrVersion string) (bridge.Release, error) {
	if len(idOrVersion) == 64 {
		body, err := s.read().ReleaseIn(ctx, sqlc.ReleaseInParams{ID: clean(idOrVersion), Application: application})
		if !errors.Is(err, sql.ErrNoRows) {
			return releaseOrNone(body, err)
		}
	}
	return releaseOrNone(s.read().ReleaseByVersion(ctx, sqlc.ReleaseByVersionParams{Application: application, Version: clean(idOrVersion)}))
}

// ReleaseOf is bridge.ReleaseRecord's.
func (s *Store) ReleaseOf(ctx context.Context, application, commit string) (bridge.Release, error) {
	return releaseOrNone(s.read().ReleaseOf(ctx, sqlc.ReleaseOfParams{Application: application, SourceCommit: clean(commit)}))
}

// Runs is bridge.ReleaseRecord's.
func (s *Store) Runs(ctx context.Context, application, environment string) (bridge.Release, error) {
	return releaseOrNone(s.read().Runs(ctx, sqlc.RunsParams{Application: application, Name: environment}))
}

// releaseOrNone reads a row; none is the zero value.
func releaseOrNone(body string, err error) (bridge.Release, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return bridge.Release{}, nil
	}
	if err != nil {
		return bridge.Release{}, store.Fault(err)
	}
	return unmarshal[bridge.Release](body, "release")
}

// ReleaseFilter picks releases; zero fields pick all.
type ReleaseFilter struct {
	Application string
	Before      *bridge.Release // those accepted before it: the last one of the page before
	Limit       int             // 0 means 50
}

// Releases returns those that f asks for, the last accepted first.
func (s *Store) Releases(ctx context.Context, f ReleaseFilter) ([]bridge.Release, error) {
	arg := sqlc.ReleasesParams{Application: f.Application, BeforeMs: 1<<63 - 1, Page: page(f.Limit)}
	if f.Before != nil {
		arg.BeforeMs, arg.BeforeID = store.Millis(f.Before.Accepted), f.Before.ID
	}
	rows, err := s.read().Releases(ctx, arg)
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]bridge.Release, 0, len(rows))
	for _, row := range rows {
		r, err := unmarshal[bridge.Release](row.Body, "release")
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Bad is cd.ReleaseReader's.
func (s *Store) Bad(ctx context.Context, ref cd.EnvironmentRef, release string) (bool, error) {
	n, err := s.read().CountBad(ctx, sqlc.CountBadParams{Application: ref.Application, Environment: ref.Name, Release: release})
	return n > 0, store.Fault(err)
}

// Environments is cd.EnvironmentReader's.
func (s *Store) Environments(ctx context.Context, application string) ([]cd.EnvironmentRow, error) {
	rows, err := s.read().Environments(ctx, application)
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]cd.EnvironmentRow, 0, len(rows))
	for _, row := range rows {
		out = append(out, environment(row))
	}
	return out, nil
}

// Environment is cd.EnvironmentReader's.
func (s *Store) Environment(ctx context.Context, ref cd.EnvironmentRef) (cd.EnvironmentRow, error) {
	row, err := s.read().Environment(ctx, sqlc.EnvironmentParams{Application: ref.Application, Name: ref.Name})
	if err != nil {
		return cd.EnvironmentRow{}, found(err, "drawbridge status", "there is no environment %s", ref)
	}
	return environment(row), nil
}

func environment(row sqlc.Environment) cd.EnvironmentRow {
	return cd.EnvironmentRow{
		Ref: cd.EnvironmentRef{Application: row.Application, Name: row.Name}, Order: int(row.Place),
		Address: row.Address, Live: cd.PromotionID(row.Live), Active: cd.PromotionID(row.Active),
	}
}

// wrongPlace is the error for a row that should be there by the schema.
func wrongPlace(ref cd.EnvironmentRef, err error) error {
	return fmt.Errorf("environment %s: %w", ref, err)
}
