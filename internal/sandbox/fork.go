package sandbox

import (
	"errors"
	"runtime"
)

// forker starts processes on one operating system thread that lives as long as it does.
// The kernel sends a process its death signal when the thread that started it ends, not the
// process: on a thread of the Go runtime's choice a sandbox could end before its time.
type forker struct {
	work chan func()
	quit chan struct{}
	done chan struct{}
}

func newForker() *forker {
	f := &forker{work: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for {
			select {
			case do := <-f.work:
				do()
			case <-f.quit:
				return
			}
		}
	}()
	return f
}

// do runs start on the thread and waits for it.
func (f *forker) do(start func() error) error {
	result := make(chan error, 1)
	select {
	case f.work <- func() { result <- start() }:
		return <-result
	case <-f.done:
		return errors.New("the sandbox is closed")
	}
}

// close ends the thread, and with it every process that it has started.
func (f *forker) close() {
	close(f.quit)
	<-f.done
}
