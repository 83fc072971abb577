package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// diff prints a unified difference, in colours on a terminal.
func (c *console) diff(text string) {
	for line := range strings.Lines(text) {
		line = printable(strings.TrimSuffix(line, "\n"))
		colour := ""
		if line != "" {
			colour = map[byte]string{'+': green, '-': red, '@': cyan}[line[0]]
		}
		c.print("%s", c.coloured(colour, line))
	}
}

// stdin stands for standard input in the positions of faults.
const stdin = "stdin"

// read returns the content of a file that a person named, and the name that stands for it
// in the positions of faults. A file over api.MaxBody is not read to its end.
func (c *console) read(file string) (name string, src []byte, err error) {
	name, from := stdin, c.In
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the user names it
		if err != nil {
			return "", nil, unreadable(file, err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		name, from = file, f
	}
	src, err = io.ReadAll(io.LimitReader(from, api.MaxBody+1))
	if err != nil {
		return "", nil, unreadable(name, err)
	}
	if len(src) > api.MaxBody {
		f := fault.New(fault.TooLarge, "the file has more than %d bytes", api.MaxBody).WithHint("split it, or check that it is the right one")
		f.File = name
		return "", nil, f
	}
	return name, src, nil
}

// unreadable is the fault of a file that cannot be read.
func unreadable(file string, err error) error {
	kind := fault.Invalid
	if errors.Is(err, fs.ErrNotExist) {
		kind = fault.NotFound
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	f := fault.Wrap(kind, err, "%v", err)
	f.File = file
	return f
}
