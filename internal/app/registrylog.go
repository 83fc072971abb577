package app

import (
	"bytes"
	"io"
)

// registryLog is where the registry's library logs, one line per call: it calls every
// missing blob an error. What a client did wrong is told to the client; what is left here
// is what an operator must see.
type registryLog struct{ w io.Writer }

func (l registryLog) Write(line []byte) (int, error) {
	if !bytes.Contains(line, []byte("level=error")) || bytes.Contains(line, []byte("http.response.status=4")) {
		return len(line), nil
	}
	return l.w.Write(line)
}
