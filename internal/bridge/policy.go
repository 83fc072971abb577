package bridge

import (
	"net/netip"
	"slices"

	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

// Policy is the floor under deliveries, written by admins: whose commits count, and which
// private addresses this server may be sent to.
type Policy struct {
	APIVersion string        `json:"apiVersion" jsonschema:"enum=drawbridge/v1"`
	Kind       string        `json:"kind" jsonschema:"enum=Policy"`
	Commits    CommitsPolicy `json:"commits,omitzero"`
	Hosts      HostsPolicy   `json:"hosts,omitzero"`
}

// CommitsPolicy names who may sign commits that state what is to run.
type CommitsPolicy struct {
	Signers []commitsig.Signer `json:"signers,omitempty"`
}

// HostsPolicy says where this server may connect to on the word of a delivery.
type HostsPolicy struct {
	Private []string `json:"private,omitempty" jsonschema:"description=Private address ranges that deliveries may name\\, such as 10.1.0.0/16; omitted: none."`
}

// ParsePolicy reads the policy's file. Every mistake is a fault with line and column.
func ParsePolicy(file string, src []byte) (Policy, error) {
	var p Policy
	f, err := yamlfile.Decode(file, src, &p)
	if err != nil {
		return Policy{}, err
	}
	switch {
	case p.APIVersion != "drawbridge/v1":
		return p, f.At("apiVersion", "apiVersion is %q", p.APIVersion).WithHint("write apiVersion: drawbridge/v1")
	case p.Kind != KindPolicy:
		return p, f.At("kind", "kind is %q", p.Kind).WithHint("write kind: Policy")
	}
	if wrong := fault.As(p.Signers().Check()); wrong != nil {
		e := f.At("commits."+wrong.Field, "%s", wrong.Message)
		if wrong.Hint != "" {
			e = e.WithHint("%s", wrong.Hint)
		}
		return p, e
	}
	if _, err := p.private(); err != nil {
		return p, f.At("hosts.private", "%v", err).WithHint("write ranges such as 10.1.0.0/16")
	}
	return p, nil
}

// Signers are the signers of commits, as commitsig judges by them.
func (p Policy) Signers() commitsig.Policy { return commitsig.Policy{Signers: p.Commits.Signers} }

func (p Policy) private() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range p.Hosts.Private {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}

// Allows reports whether this server may connect to an address on the word of a delivery:
// public ones always, others where the policy lists their range.
func (p Policy) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if public(a) {
		return true
	}
	ranges, _ := p.private() // checked when it was applied
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}

// reserved are the ranges that are neither private by name nor for everybody: IANA's special
// purpose registries, and those that carry an address of version 4, which may be private.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("5f00::/16"), netip.MustParsePrefix("fec0::/10"),
}

// public reports whether a is for everybody.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(reserved, func(r netip.Prefix) bool { return r.Contains(a) })
}
