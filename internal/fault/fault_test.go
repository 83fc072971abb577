package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"drawbridge/internal/fault"
)

func TestKindsAreDistinct(t *testing.T) {
	exits := map[int]fault.Kind{0: "success"}
	for _, k := range fault.Kinds() {
		if s := k.Status(); s < 400 || s > 599 {
			t.Errorf("%s has status %d", k, s)
		}
		if other, taken := exits[k.ExitCode()]; taken {
			t.Errorf("%s and %s both exit with %d", k, other, k.ExitCode())
		}
		exits[k.ExitCode()] = k
	}
	if k := fault.Kind("foreign"); k.Status() != 500 || k.ExitCode() != 1 {
		t.Errorf("an unknown kind is %d, %d", k.Status(), k.ExitCode())
	}
}

func TestError(t *testing.T) {
	for want, err := range map[string]error{
		"no such thing":              fault.New(fault.NotFound, "no such %s", "thing"),
		"d.yaml:3:7: unknown key":    fault.At("d.yaml", 3, 7, "unknown key"),
		"d.yaml:3: unknown key":      fault.At("d.yaml", 3, 0, "unknown key"),
		"d.yaml: unknown key":        fault.At("d.yaml", 0, 0, "unknown key"),
		"name: is empty":             fault.New(fault.Invalid, "is empty").WithField("name"),
		"d.yaml:1:1: the file wins":  fault.At("d.yaml", 1, 1, "the file wins").WithField("name"),
		"one line and another":       fault.New(fault.Invalid, "one line\nand another"),
		"load: read: no such thing":  fmt.Errorf("load: %w", fmt.Errorf("read: %w", fault.New(fault.NotFound, "no such thing"))),
		"the disk is full: wrote 3":  fault.Wrap(fault.Full, io.ErrShortWrite, "the disk is full: wrote %d", 3),
		"a hint stays out of the it": fault.New(fault.Invalid, "a hint stays out of the it").WithHint("do %d things", 2),
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	inner := fault.New(fault.NotFound, "no such thing")
	for name, c := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"a fault":            {inner, fault.NotFound},
		"a wrapped fault":    {fmt.Errorf("load: %w", inner), fault.NotFound},
		"the outermost wins": {fault.Wrap(fault.Unavailable, inner, "try again"), fault.Unavailable},
		"no fault":           {errors.New("boom"), fault.Internal},
		"nil":                {nil, fault.Internal},
	} {
		if got := fault.KindOf(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if fault.Is(errors.New("boom"), fault.Internal) {
		t.Error("an error that is no fault is of no kind")
	}
	if err := fault.Wrap(fault.Full, io.ErrShortWrite, "full"); !errors.Is(err, io.ErrShortWrite) {
		t.Error("the cause is lost")
	}
}

func TestWithCopies(t *testing.T) {
	base := fault.New(fault.Invalid, "wrong")
	_ = base.WithHint("do this").WithField("name")
	if base.Hint != "" || base.Field != "" {
		t.Errorf("a With method changed its receiver: %+v", base)
	}
	if h := base.WithHint("first\nsecond").Hint; strings.Contains(h, "\n") {
		t.Errorf("hint %q has two lines", h)
	}
}
