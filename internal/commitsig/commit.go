package commitsig

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // Git names its objects by SHA-1; the signature covers the content itself
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// commit is a commit object taken apart: what was signed, and the signature.
type commit struct {
	payload   []byte // the object without its signature headers
	signature string // the armoured text of the one that counts
	committed time.Time
}

// The headers that carry a signature: which one counts is decided by the hash that names the
// object. The other one is in a repository that is kept under both hashes; like Git, we leave it
// out of what is signed and do not read it.
const (
	headerSHA1   = "gpgsig"
	headerSHA256 = "gpgsig-sha256"
)

// maxSignature bounds an armoured signature, in bytes; the largest that tools make have 6 KiB.
const maxSignature = 64 << 10

var (
	headerName = regexp.MustCompile(`^[!-~]+$`)
	person     = regexp.MustCompile(`^[^<>\n\x00]*<[^<>\n\x00]*> ([0-9]{1,12}) [+-][0-9]{4}$`)
)

// header is one header of a commit with its continuation lines.
type header struct {
	name  string
	value []byte // continuation lines joined by newlines, without the blank that marks them
	text  []byte // as it stands in the object, with the last newline
}

// parseCommit checks that raw is the commit of that id, and splits it.
func parseCommit(raw []byte, id string) (commit, error) {
	if len(raw) > MaxCommit {
		return commit{}, fault.New(fault.TooLarge, "the commit has %d bytes; at most %d are read", len(raw), MaxCommit)
	}
	own, other, err := identify(raw, id)
	if err != nil {
		return commit{}, err
	}
	headers, message, err := split(raw)
	if err != nil {
		return commit{}, err
	}
	c := commit{payload: make([]byte, 0, len(raw))}
	found := map[string]int{}
	for _, h := range headers {
		found[h.name]++
		switch h.name {
		case own:
			c.signature = string(h.value)
		case other: // signs the same commit under its other name
		default:
			c.payload = append(c.payload, h.text...)
		}
	}
	c.payload = append(c.payload, message...)
	if found[own] > 1 || found[other] > 1 {
		return commit{}, refused("the commit has more than one signature")
	}
	c.committed, err = order(headers)
	return c, err
}

// identify checks the id, and tells which signature header counts and which is passed over.
func identify(raw []byte, id string) (own, other string, err error) {
	object := append([]byte("commit "+strconv.Itoa(len(raw))+"\x00"), raw...)
	var sum []byte
	switch len(id) {
	case 2 * sha1.Size:
		s := sha1.Sum(object) //nolint:gosec // see the import
		sum, own, other = s[:], headerSHA1, headerSHA256
	case 2 * sha256.Size:
		s := sha256.Sum256(object)
		sum, own, other = s[:], headerSHA256, headerSHA1
	default:
		return "", "", refused("%.80q is no id of a commit", id)
	}
	if hex.EncodeToString(sum) != id {
		return "", "", refused("the content is not that of commit %s", id)
	}
	return own, other, nil
}

// split cuts a commit into its headers and the rest: the empty line and the message.
func split(raw []byte) (headers []header, message []byte, err error) {
	rest := raw
	for {
		end := bytes.IndexByte(rest, '\n')
		switch {
		case end < 0:
			return nil, nil, malformed("its headers have no end")
		case end == 0:
			return headers, rest, nil
		case bytes.IndexByte(rest[:end], 0) >= 0, rest[0] != ' ' && bytes.IndexByte(rest[:end], '\r') >= 0:
			return nil, nil, malformed("a header holds a carriage return or a zero byte")
		}
		line, text := rest[:end], rest[:end+1]
		rest = rest[end+1:]
		if line[0] == ' ' {
			if len(headers) == 0 {
				return nil, nil, malformed("it begins with a continued line")
			}
			h := &headers[len(headers)-1]
			h.value = append(append(h.value, '\n'), line[1:]...)
			h.text = append(h.text, text...)
			continue
		}
		name, value, ok := strings.Cut(string(line), " ")
		if !ok || !headerName.MatchString(name) {
			return nil, nil, malformed("%.40q is no header", line)
		}
		headers = append(headers, header{name: name, value: []byte(value), text: bytes.Clone(text)})
	}
}

// order checks that the headers are those of a commit, each where Git writes it, so that no two
// readers can understand one commit in two ways; and reads the committer's time.
func order(headers []header) (time.Time, error) {
	i := 0
	take := func(name string) bool {
		if i < len(headers) && headers[i].name == name {
			i++
			return true
		}
		return false
	}
	if !take("tree") {
		return time.Time{}, malformed("it does not begin with its tree")
	}
	for take("parent") {
	}
	if !take("author") || !take("committer") {
		return time.Time{}, malformed("author and committer do not follow its parents")
	}
	found := person.FindSubmatch(headers[i-1].value)
	if found == nil {
		return time.Time{}, malformed("its committer has no time")
	}
	for _, h := range headers[i:] {
		switch name := strings.ToLower(h.name); {
		case name == "tree", name == "parent", name == "author", name == "committer":
			return time.Time{}, malformed("header %s stands twice or in a wrong place", name)
		case strings.HasPrefix(name, headerSHA1) && h.name != headerSHA1 && h.name != headerSHA256:
			return time.Time{}, malformed("header %.40q is no signature of Git's", h.name)
		}
	}
	seconds, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		return time.Time{}, malformed("its committer has no time")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// kind tells by its first line what the signature is.
func (c commit) kind() (Kind, error) {
	first, _, _ := strings.Cut(c.signature, "\n")
	switch {
	case c.signature == "":
		return "", refused("the commit is not signed").WithHint("sign it: git commit -S")
	case len(c.signature) > maxSignature:
		return "", refused("the signature has %d bytes; at most %d are read", len(c.signature), maxSignature)
	case first == sshBegin:
		return SSH, nil
	case first == gpgBegin:
		return GPG, nil
	case first == "-----BEGIN SIGNED MESSAGE-----":
		return "", refused("the commit is signed with an X.509 certificate").WithHint("sign it with an SSH or GPG key: git config gpg.format ssh")
	}
	return "", refused("the signature is neither of SSH nor of GPG")
}

func malformed(format string, args ...any) error {
	return refused("the commit is malformed: "+format, args...)
}

// mismatch is what is said of a signature that does not fit, whatever the reason.
func mismatch() *fault.Error { return refused("the signature does not match the commit") }

func unreadable(why string) error { return refused("the signature cannot be read: %s", why) }
