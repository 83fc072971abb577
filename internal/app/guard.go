package app

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

// policies reads the Policy that holds now.
type policies struct{ store *storecd.Store }

// policy is what admins applied last; the zero Policy before that.
func (p policies) policy(ctx context.Context) (bridge.Policy, error) {
	body, version, err := p.store.Newest(ctx, bridge.KindPolicy, "default")
	if err != nil || version == 0 || len(body) == 0 {
		return bridge.Policy{}, err
	}
	return bridge.ParsePolicy("policy", body)
}

// CommitSigners is bridge.CommitSigners'.
func (p policies) CommitSigners(ctx context.Context) (commitsig.Policy, error) {
	policy, err := p.policy(ctx)
	return policy.Signers(), err
}

// guard keeps deliveries and events from leading the server into its own network. It is
// asked with what a name stands for, right before the connection: a name that changes
// meanwhile leads nowhere else. It implements packages.Guard.
type guard struct{ policies policies }

// Host implements packages.Guard: names are judged by what they stand for.
func (guard) Host(*url.URL) error { return nil }

// Address implements packages.Guard.
func (g guard) Address(host string, addr netip.Addr) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	policy, err := g.policies.policy(ctx)
	if err != nil {
		return err
	}
	if policy.Allows(addr) {
		return nil
	}
	return fault.New(fault.Refused, "%s is %s, which is not public", host, addr).
		WithHint("an admin can list the range in the Policy: hosts: {private: [%s/%d]}", addr, addr.BitLen())
}

// dial connects where the guard lets it.
func (g guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second, Control: func(_, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		return g.Address(address, at.Addr())
	}}
	return d.DialContext(ctx, network, address)
}

// transport carries requests where the guard lets them, and to the hosts that the server's
// own configuration names (HOST:PORT).
func (g guard) transport(own ...string) *http.Transport {
	plain := net.Dialer{Timeout: 30 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if slices.Contains(own, address) {
				return plain.DialContext(ctx, network, address)
			}
			return g.dial(ctx, network, address)
		},
		ForceAttemptHTTP2: true, MaxIdleConns: 100, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute,
	}
}

// hostPort is where u leads, as a dialer names it.
func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
