package process

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// ports hands out loopback ports that are free, none to two instances at once. Another
// program may still take one before the instance listens: then the instance ends and is
// started again with another.
type ports struct {
	mu  sync.Mutex
	out map[int]bool
}

func newPorts() *ports { return &ports{out: map[int]bool{}} }

// take finds a free port. The caller gives it back when its process has ended.
func (p *ports) take(ctx context.Context) (int, error) {
	for range 20 {
		port, err := freePort(ctx)
		if err != nil {
			return 0, err
		}
		p.mu.Lock()
		taken := p.out[port]
		p.out[port] = true
		p.mu.Unlock()
		if !taken {
			return port, nil
		}
	}
	return 0, fmt.Errorf("the system offers only ports that are in use")
}

func (p *ports) giveBack(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.out, port)
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", anyPort)
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("look for a free port: %v is no TCP address", l.Addr())
	}
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("release a free port: %w", err)
	}
	return addr.Port, nil
}
