package packages

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"drawbridge/internal/fault"
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

// Public is a Guard that lets nobody lead the server into its own network: private, local and
// reserved addresses are refused, but for the hosts that it names.
type Public struct {
	Hosts []string // names or addresses, without ports, that may be private
}

// Host implements Guard.
func (p Public) Host(u *url.URL) error {
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return p.Address(u.Hostname(), addr)
	}
	if loopback(u.Hostname()) && !p.named(u.Hostname()) {
		return refusedHost(u.Hostname())
	}
	return nil
}

// Address implements Guard.
func (p Public) Address(host string, addr netip.Addr) error {
	if p.named(host) || publicAddress(addr) {
		return nil
	}
	return refusedHost(host)
}

func (p Public) named(host string) bool {
	return slices.ContainsFunc(p.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func refusedHost(host string) error {
	return fault.New(fault.Refused, "%s is in a private network", host).WithHint("an admin can allow the host")
}

// reserved are the ranges that are neither private by name nor for everybody: IANA's special
// purpose registries, and those that carry an address of version 4 that may be private.
var reserved = []string{
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "5f00::/16", "fec0::/10",
}

func publicAddress(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(reserved, func(s string) bool {
		p, err := netip.ParsePrefix(s)
		return err != nil || p.Contains(a)
	})
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
