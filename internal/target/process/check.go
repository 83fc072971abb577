package process

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// check refuses what no environment can be.
func check(d cd.Desired) error {
	bad := func(field, format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithField(field)
	}
	if d.Environment.Application == "" || d.Environment.Name == "" {
		return bad("environment", "an environment has an application and a name")
	}
	if len(d.Versions) > 2 {
		return bad("versions", "an environment runs at most two versions at once, not %d", len(d.Versions))
	}
	sum, seen := 0, map[string]bool{}
	for i, v := range d.Versions {
		field := fmt.Sprintf("versions[%d]", i)
		switch {
		case v.Image.Digest.IsZero():
			return bad(field+".image", "version %s names no digest", v.Name)
		case v.Spec.Process == nil:
			return bad(field+".spec", "version %s is not for the process target", v.Name)
		case v.Weight < 0 || v.Weight > 100:
			return bad(field+".weight", "a weight is 0 to 100, not %d", v.Weight)
		case seen[identity(v)]:
			return bad(field, "version %s is listed twice", v.Name)
		}
		if h := v.Spec.Process.Health; h != nil && !strings.HasPrefix(h.HTTP, "/") {
			return bad(field+".spec.process.health.http", "%q is no path: it must start with /", h.HTTP)
		}
		if name := badEnv(v.Spec.Process.Env); name != "" {
			return bad(field+".spec.process.env", "%q cannot be an environment variable", name)
		}
		if name := badEnv(v.Inputs); name != "" {
			return bad(field+".inputs", "%q cannot be an environment variable", name)
		}
		seen[identity(v)] = true
		sum += v.Weight
	}
	if sum != 0 && sum != 100 {
		return bad("versions", "the weights add up to %d, not to 100", sum)
	}
	return nil
}

// badEnv is a name that cannot be set, or "".
func badEnv(env map[string]string) string {
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return orDefault(name, " ")
		}
	}
	return ""
}

// identity tells versions apart: two with the same one are the same process. The
// environment's address is no part of it, nor is the repository that the digest came from.
func identity(v cd.Version) string {
	spec := *v.Spec.Process
	spec.Listen, spec.Artifact = "", ""
	b, err := json.Marshal([]any{v.Release, v.Name, v.Image.Digest, spec, v.Inputs})
	if err != nil { // strings, maps of strings and numbers always marshal
		panic(err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
