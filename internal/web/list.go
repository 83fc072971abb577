package web

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// storeLimit is the most items of one page of what the planes' stores list.
const storeLimit = 200

// storePage is the page that r asks for, no larger than a store's, with its bound: the
// number of the thing before, 0 on the first page.
func storePage(r *http.Request) (Page, int64, error) {
	p, err := PageOf(r)
	if err != nil {
		return p, 0, err
	}
	p.Limit = min(p.Limit, storeLimit)
	after, err := p.AfterID()
	return p, after, err
}

// replySlice writes the page of all that r asks for; key names an item, and items are in no
// particular order of their keys. A key that is there no more gives an empty last page.
func replySlice[T any](w http.ResponseWriter, r *http.Request, all []T, key func(T) string) error {
	p, err := PageOf(r)
	if err != nil {
		return err
	}
	if p.After != "" {
		i := slices.IndexFunc(all, func(v T) bool { return key(v) == p.After })
		if i < 0 {
			return fault.New(fault.Invalid, "want what next said").WithField("after")
		}
		all = all[i+1:]
	}
	if len(all) < p.Limit {
		return ReplyPage(w, r, p, all, key)
	}
	page := all[:p.Limit]
	if len(all) == p.Limit { // nothing follows, which only a whole list can know
		return Reply(w, http.StatusOK, api.List[T]{Items: page})
	}
	return ReplyPage(w, r, p, page, key)
}

// each is f of every value.
func each[T, U any](list []T, f func(T) U) []U {
	out := make([]U, 0, len(list))
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}

// word reads the query parameter name, which is one of known or absent.
func word[T ~string](r *http.Request, name string, known []T) (T, error) {
	s := T(r.URL.Query().Get(name))
	if s == "" || slices.Contains(known, s) {
		return s, nil
	}
	return "", fault.New(fault.Invalid, "%.40q is none of its words", string(s)).WithField(name).WithHint("use one of %s", spelled(known))
}

func spelled[T ~string](known []T) string {
	return strings.Join(each(known, func(v T) string { return string(v) }), ", ")
}

// flag reads the query parameter name, true or false; absent means false.
func flag(r *http.Request, name string) (bool, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fault.New(fault.Invalid, "want true or false, not %.40q", s).WithField(name)
	}
	return b, nil
}

// number reads the query parameter name, a number from 0; absent means 0.
func number(r *http.Request, name string) (int64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "want a number from 0, not %.40q", s).WithField(name)
	}
	return n, nil
}

// maxFileName is the longest name of a file in the positions of faults, in bytes.
const maxFileName = 256

// file is the parameter that names a file in the positions of faults.
func file(r *http.Request, usual string) string {
	name := r.URL.Query().Get("file")
	if name == "" || len(name) > maxFileName {
		return usual
	}
	return name
}

// yamlBody reads a YAML file that is applied.
func yamlBody(r *http.Request) ([]byte, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != api.YAMLType {
		return nil, fault.New(fault.Invalid, "the body must be %s", api.YAMLType).WithField("Content-Type")
	}
	return Body(r)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
