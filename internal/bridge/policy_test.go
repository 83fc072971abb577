package bridge_test

import (
	"net/netip"
	"strings"
	"testing"

	"drawbridge/internal/bridge"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	p, err := bridge.ParsePolicy("p.yaml", []byte("apiVersion: drawbridge/v1\nkind: Policy\nhosts: {private: [10.1.0.0/16, \"fd00::/8\", 127.0.0.1/32]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "10.1.2.3": true, "fd12::1": true, "127.0.0.1": true, "::ffff:10.1.2.3": true,
		"10.2.0.1": false, "192.168.1.1": false, "172.16.0.1": false, "127.0.0.2": false, "::1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "224.0.0.1": false, "fe80::1": false, "::ffff:192.168.1.1": false, "::ffff:127.0.0.2": false,
		"0.1.2.3": false, "198.18.0.1": false, "192.0.0.8": false, "240.0.0.1": false, "255.255.255.255": false, "fec0::1": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "2002:a9fe:a9fe::1": false, "2001::1": false, "::10.2.0.1": false,
		"fe80::1%eth0": false, "fd12::1%eth0": true, "8.8.8.8": true, "2606:4700::1111": true,
	} {
		if got := p.Allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Allows(%s) = %v, want %v", addr, got, want)
		}
	}
	for _, tt := range []struct{ src, want string }{
		{"apiVersion: v2\nkind: Policy\n", "p.yaml:1:"},
		{"apiVersion: drawbridge/v1\nkind: Trust\n", "p.yaml:2:"},
		{"apiVersion: drawbridge/v1\nkind: Policy\nhost: {}\n", "p.yaml:3:"},
		{"apiVersion: drawbridge/v1\nkind: Policy\nhosts: {private: [10.0.0.1]}\n", "p.yaml:3:"},
		{"apiVersion: drawbridge/v1\nkind: Policy\ncommits:\n  signers:\n    - {identity: alice, ssh: [\"ssh-dss AAAA\"]}\n", "p.yaml:5:"},
	} {
		if _, err := bridge.ParsePolicy("p.yaml", []byte(tt.src)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q: %v, want a fault at %s", tt.src, err, tt.want)
		}
	}
}

func TestParseReceiver(t *testing.T) {
	t.Parallel()
	const good = "apiVersion: drawbridge/v1\nkind: Receiver\nname: gh\ntype: github\napplications: [shop]\n"
	r, err := bridge.ParseReceiver("r.yaml", []byte(good), []string{"github"})
	if err != nil || r.Name != "gh" || len(r.Scope()) != 1 || r.Tolerance().Minutes() != 5 {
		t.Fatalf("ParseReceiver = %+v, %v", r, err)
	}
	for _, tt := range []struct{ old, to, want string }{
		{"name: gh", "name: GH", "r.yaml:3:"},
		{"name: gh", "name: api", "r.yaml:3:"},
		{"name: gh", "name: clock", "r.yaml:3:"},
		{"type: github", "type: githob", "r.yaml:4:"},
		{"[shop]", "[]", "r.yaml:5:"},
		{"applications", "application", "r.yaml:5:"},
		{"[shop]", "[shop]\nwindow: 2h", "r.yaml:6:"},
		{"[shop]", "[shop]\nsecret: hunter2", "r.yaml:6:"},
	} {
		if _, err := bridge.ParseReceiver("r.yaml", []byte(strings.Replace(good, tt.old, tt.to, 1)), []string{"github"}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("with %q: %v, want a fault at %s", tt.to, err, tt.want)
		}
	}
	all, err := bridge.ParseReceiver("r.yaml", []byte(strings.Replace(good, "[shop]", `["*"]`, 1)), []string{"github"})
	if err != nil || all.Scope() != nil {
		t.Errorf("a receiver for all has the scope %v, %v", all.Scope(), err)
	}
}
