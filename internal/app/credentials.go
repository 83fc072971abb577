package app

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"os"
	"strings"

	"drawbridge/internal/fault"
)

// credentials are what other hosts ask for: registries, Git hosts, package registries. They
// stand in a file that the operator names, in the form of Docker's config.json, and are
// read each time: a change holds at once and nothing is kept. "" names no file.
type credentials string

// check reads the file once, so that a wrong one is told at the start.
func (c credentials) check() error {
	_, err := c.read()
	return err
}

// configFile is the part of Docker's config.json that is read. Credential helpers are
// programs, and none is run.
type configFile struct {
	Auths map[string]struct {
		Auth     string `json:"auth"` // base64 of USER:SECRET
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"auths"`
}

func (c credentials) read() (configFile, error) {
	var f configFile
	if c == "" {
		return f, nil
	}
	body, err := os.ReadFile(string(c))
	if err != nil {
		return f, fault.Wrap(fault.Invalid, err, "%v", err).WithField("--credentials-file")
	}
	if err := json.Unmarshal(body, &f); err != nil {
		return f, fault.New(fault.Invalid, "%s is no JSON of credentials", string(c)).WithField("--credentials-file").
			WithHint(`write it as docker login does: {"auths": {"HOST": {"auth": "base64 of USER:SECRET"}}}`)
	}
	return f, nil
}

// of returns user and secret for a host, with or without its port; both empty when the file
// names none, which means anonymous.
func (c credentials) of(host string) (user, secret string) {
	if c == "" || host == "" {
		return "", ""
	}
	f, err := c.read()
	if err != nil {
		return "", "" // the host says that it wants a login, and the fault names it
	}
	names := []string{host}
	if host == "docker.io" || host == "registry-1.docker.io" {
		names = append(names, "https://index.docker.io/v1/", "index.docker.io", "docker.io")
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		names = append(names, name)
	}
	for _, name := range names {
		for key, a := range f.Auths {
			if key != name && strings.TrimSuffix(strings.TrimPrefix(key, "https://"), "/") != name {
				continue
			}
			if raw, err := base64.StdEncoding.DecodeString(a.Auth); err == nil && a.Auth != "" {
				user, secret, _ := strings.Cut(string(raw), ":")
				return user, secret
			}
			return a.Username, a.Password
		}
	}
	return "", ""
}

// header is the Authorization header for a host, "" for none.
func (c credentials) header(host string) string {
	user, secret := c.of(host)
	switch {
	case secret == "":
		return ""
	case user == "":
		return "Bearer " + secret
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
}
