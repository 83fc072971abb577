package packages

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"slices"
	"strings"

	"drawbridge/internal/fault"
)

// algorithm is a hash function whose checksums count.
type algorithm struct {
	name string
	size int // bytes of a checksum
	make func() hash.Hash
}

// algorithms are those that count, the strongest first.
var algorithms = []algorithm{
	{"sha512", sha512.Size, sha512.New},
	{"sha384", sha512.Size384, sha512.New384},
	{"sha256", sha256.Size, sha256.New},
}

// integrity is a stated checksum: of one algorithm, and one of its values has to match.
type integrity struct {
	algorithm
	sums [][]byte
}

// parseIntegrity reads Subresource Integrity metadata (W3C, section 3.5): the strongest
// algorithm counts, each of its values is an alternative, options after "?" mean nothing, and
// algorithms that are not known or too weak are left out. None that counts gives nil.
func parseIntegrity(s string) (*integrity, error) {
	var found *integrity
	best := len(algorithms)
	for token := range strings.FieldsSeq(s) {
		token, _, _ = strings.Cut(token, "?")
		name, value, _ := strings.Cut(token, "-")
		at := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.name == name })
		if at < 0 || at > best {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(sum) != algorithms[at].size {
			return nil, fault.New(fault.Unavailable, "%.100q is no checksum", token)
		}
		if at < best {
			found, best = &integrity{algorithm: algorithms[at]}, at
		}
		found.sums = append(found.sums, sum)
	}
	return found, nil
}

// matches reports whether the hash of what was read is one that was stated.
func (i *integrity) matches(sum []byte) bool {
	return slices.ContainsFunc(i.sums, func(s []byte) bool { return bytes.Equal(s, sum) })
}

// fromHex makes "sha256:HEX" the form of File.Integrity; "" stays "".
func fromHex(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	name, value, _ := strings.Cut(s, ":")
	sum, err := hex.DecodeString(value)
	if err != nil || len(sum) == 0 {
		return "", fault.New(fault.Unavailable, "%.100q is no checksum", s)
	}
	text := name + "-" + base64.StdEncoding.EncodeToString(sum)
	_, err = parseIntegrity(text)
	return text, err
}
