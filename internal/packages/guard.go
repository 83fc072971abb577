package packages

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Guard says where a fetch may go. What it returns is shown; make it a fault of kind Refused.
// It is safe for concurrent use.
type Guard interface {
	// Host is asked before each request, those that a redirect leads to included.
	Host(u *url.URL) error
	// Address is asked with what a host's name stands for, right before it is connected to: a
	// name that is public when it is looked up first leads nowhere else later.
	Address(host string, addr netip.Addr) error
}

// loopback reports whether host is this machine's loopback.
func loopback(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || net.ParseIP(host).IsLoopback()
}

// newTransport connects to the addresses that guard allows. It uses no proxy: behind one the
// addresses could not be asked about.
func newTransport(guard Guard) http.RoundTripper {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, fmt.Errorf("dial %s: %w", address, err)
			}
			d := net.Dialer{Timeout: 30 * time.Second, ControlContext: func(_ context.Context, _, to string, _ syscall.RawConn) error {
				at, err := netip.ParseAddrPort(to)
				if err != nil {
					return fmt.Errorf("dial %s: %w", to, err)
				}
				return guard.Address(host, at.Addr())
			}}
			return d.DialContext(ctx, network, address)
		},
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: 256 << 10,
	}
}
