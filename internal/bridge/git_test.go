package bridge_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

const environments = "https://git.example.com/env"

// person signs commits.
type person struct {
	name   string
	signer ssh.Signer
}

func newPerson(t *testing.T, name string) person {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return person{name, s}
}

// believed makes w's policy believe a person.
func (w *world) believed(p person) {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p.signer.PublicKey())))
	w.signers.Signers = append(w.signers.Signers, commitsig.Signer{Identity: p.name, SSH: []string{line}})
}

// commit is an object that p signed; a zero person signs nothing. It returns its name and text.
func (p person) commit(t *testing.T, n int, at time.Time) (string, []byte) {
	t.Helper()
	head := fmt.Sprintf("tree %s\nauthor Mallory <m@example.com> %[2]d +0000\ncommitter Mallory <m@example.com> %[2]d +0000\n", commitOf("0"), at.Unix())
	body := fmt.Sprintf("\nchange %d\n", n)
	if p.signer != nil {
		armoured := sshsig(t, p.signer, head+body)
		head += "gpgsig " + strings.ReplaceAll(strings.TrimSpace(armoured), "\n", "\n ") + "\n"
	}
	raw := []byte(head + body)
	sum := sha1.Sum(append(fmt.Appendf(nil, "commit %d\x00", len(raw)), raw...))
	return hex.EncodeToString(sum[:]), raw
}

// sshsig is an SSH signature as PROTOCOL.sshsig has it.
func sshsig(t *testing.T, s ssh.Signer, text string) string {
	t.Helper()
	sum := sha512.Sum512([]byte(text))
	type signed struct {
		Namespace, Reserved, Hash string
		Sum                       string
	}
	message := append([]byte("SSHSIG"), ssh.Marshal(signed{"git", "", "sha512", string(sum[:])})...)
	sig, err := s.Sign(rand.Reader, message)
	if err != nil {
		t.Fatal(err)
	}
	blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                           uint32
		Key, Namespace, Reserved, Hash, S string
	}{1, string(s.PublicKey().Marshal()), "git", "", "sha512", string(ssh.Marshal(sig))})...)
	return "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(blob) + "\n-----END SSH SIGNATURE-----\n"
}

// state commits what staging is to run, signed by p, and tells of the push.
func (w *world) state(p person, files map[string]string) bridge.Handoff {
	w.t.Helper()
	commit := w.write(p, files)
	return w.only(w.receive(bridge.Message{Receiver: "gitea", Sender: "gitea", Facts: []bridge.Fact{pushed("main", commit)}}))
}

func (w *world) write(p person, files map[string]string) string {
	w.t.Helper()
	commit, raw := p.commit(w.t, len(w.git.history), w.now)
	w.git.history = append(w.git.history, commit)
	w.git.raw[commit] = raw
	w.git.refs[environments+" refs/heads/main"] = commit
	all := map[string][]byte{}
	for name, text := range files {
		all[name] = []byte(text)
	}
	w.git.files[commit+" environments"] = all
	return commit
}

func pushed(branch, commit string) bridge.Fact {
	return bridge.Fact{Kind: bridge.KindPush, Type: "push", Actor: "mallory", Git: &bridge.GitRef{Repository: environments, Ref: "refs/heads/" + branch, Commit: commit}}
}

func runs(version string) map[string]string {
	return map[string]string{"staging.yaml": "apiVersion: drawbridge/v1\nkind: EnvironmentState\nreleases: {shop: \"" + version + "\", other: \"7\"}\n"}
}

const gitTrigger = "{name: state, on: git, repository: " + environments + ", branch: main}"

func TestGitTrigger(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	carol, mallory := newPerson(t, "carol"), newPerson(t, "mallory")
	w.believed(carol)

	h := w.state(carol, runs("1.0.0"))
	w.want(h, bridge.Accepted, "by carol")
	if h.Actor != "carol" || len(h.Asked) != 1 || h.Asked[0].Environment != "staging" || h.Asked[0].Rollback {
		t.Errorf("handoff %+v", h)
	}
	w.want(w.state(carol, runs("1.0.0")), bridge.Ignored, "changes nothing")
	w.want(w.state(mallory, runs("1.1.0")), bridge.Refused, "no signer has")
	w.want(w.state(person{}, runs("1.1.0")), bridge.Refused, "not signed")
	w.want(w.state(carol, runs("1.1.0")), bridge.Accepted, "by carol")
	if got := w.opened(); len(got) != 2 || got[0] != "staging 1.0.0" || got[1] != "staging 1.1.0" {
		t.Errorf("opened %v", got)
	}
	w.want(w.state(carol, map[string]string{"staging.yaml": "releases: [\n"}), bridge.Refused, "staging.yaml:")
	w.want(w.state(carol, map[string]string{"nowhere.yaml": runs("1.0.0")["staging.yaml"]}), bridge.Accepted, "")
	list, err := w.store.Promotions(t.Context(), cd.PromotionFilter{})
	if err != nil || len(list) != 2 || list[0].Requester != "carol" {
		t.Errorf("promotions %+v, %v, want two that carol asked for", list, err)
	}
}

// The event may say what it likes: the branch is read here.
func TestGitEventIsAHint(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	carol := newPerson(t, "carol")
	w.believed(carol)
	w.write(carol, runs("1.0.0"))
	evil, raw := newPerson(t, "mallory").commit(t, 99, w.now)
	w.git.raw[evil], w.git.files[evil+" environments"] = raw, map[string][]byte{"staging.yaml": []byte(runs("1.1.0")["staging.yaml"])}
	h := w.only(w.receive(bridge.Message{Receiver: "x", Sender: "x", Facts: []bridge.Fact{pushed("main", evil)}}))
	w.want(h, bridge.Accepted, "by carol")
	if got := w.opened(); len(got) != 1 || got[0] != "staging 1.0.0" {
		t.Errorf("opened %v, want what the branch says", got)
	}
	if list := w.receive(bridge.Message{Receiver: "x", Sender: "x", Facts: []bridge.Fact{pushed("feature", evil)}}); len(list) != 0 {
		t.Errorf("another branch gave %+v", list)
	}
}

// A commit that goes back is a rollback, asked for by its signer.
func TestGitRevert(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	carol := newPerson(t, "carol")
	w.believed(carol)
	w.state(carol, runs("1.0.0"))
	w.done("staging", "1.0.0")
	w.state(carol, runs("1.1.0"))
	w.done("staging", "1.1.0")
	h := w.state(carol, runs("1.0.0"))
	w.want(h, bridge.Accepted, "")
	if len(h.Asked) != 1 || !h.Asked[0].Rollback {
		t.Fatalf("asked for %+v, want a rollback", h.Asked)
	}
	list, err := w.store.Promotions(t.Context(), cd.PromotionFilter{})
	if err != nil || !list[0].Rollback() || list[0].Requester != "carol" {
		t.Errorf("the newest promotion is %+v, %v, want a rollback that carol asked for", list[0], err)
	}
}

func TestGitHistoryRewritten(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	carol := newPerson(t, "carol")
	w.believed(carol)
	w.state(carol, runs("1.0.0"))
	w.now = w.now.Add(time.Minute)
	w.git.history = nil // a forced push: what was there is no ancestor
	w.want(w.state(carol, runs("1.1.0")), bridge.Refused, "rewritten")
}

func TestGitOwnCommitIsIgnored(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	own := newPerson(t, bridge.OwnCommits)
	w.believed(own)
	w.want(w.state(own, runs("1.0.0")), bridge.Ignored, "CD's own")
}

func TestGitVersionThatHasNotCrossed(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	carol := newPerson(t, "carol")
	w.believed(carol)
	h := w.state(carol, runs("1.2.0"))
	w.want(h, bridge.Waiting, "waits until version 1.2.0 crosses")
	w.tell(w.image("shop/web", "1.2.0", "c", made{}))
	w.want(w.look(h), bridge.Accepted, "")
	w.want(w.state(carol, runs("1.1.0@sha256:"+strings.Repeat("0", 64))), bridge.Refused, "does not hold")
}

func TestGitUnsignedBySetting(t *testing.T) {
	t.Parallel()
	w := crossed(t, "{name: state, on: git, repository: "+environments+", signed: false}")
	h := w.state(person{}, runs("1.0.0"))
	w.want(h, bridge.Accepted, "")
	if h.Actor != "git:state" {
		t.Errorf("actor %q: nobody unverified may stand there", h.Actor)
	}
	w.done("staging", "1.0.0")
	w.state(person{}, runs("1.1.0"))
	w.done("staging", "1.1.0")
	before := len(w.opened())
	back := w.state(person{}, runs("1.0.0"))
	if len(back.Asked) != 1 || back.Asked[0].Rollback || !strings.Contains(back.Asked[0].Why, "signed commit") || len(w.opened()) != before {
		t.Errorf("an unsigned commit goes back: %+v", back)
	}
}

func TestDriftAndRepair(t *testing.T) {
	t.Parallel()
	w := crossed(t, "{name: state, on: git, repository: "+environments+", repair: true}")
	carol := newPerson(t, "carol")
	w.believed(carol)
	w.state(carol, runs("1.0.0"))
	drifts := func() []bridge.Drift {
		t.Helper()
		list, err := w.bridge.Drifts(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if d := drifts(); len(d) != 1 || d[0].Environment != "staging" || d[0].Runs != "" || d[0].Version != "1.0.0" {
		t.Errorf("drifts %+v", d)
	}
	w.done("staging", "1.0.0")
	if d := drifts(); len(d) != 0 {
		t.Errorf("drifts %+v, want none", d)
	}
	w.done("staging", "1.1.0") // a person went past the repository
	before := len(w.opened())
	for range 3 {
		if err := w.bridge.Repair(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := w.received()
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v events, %v, want one: a drift is asked for once", ids, err)
	}
	w.want(w.only(w.process(ids[0])), bridge.Accepted, "by carol")
	if got := w.opened(); len(got) != before+1 || got[len(got)-1] != "staging 1.0.0" {
		t.Errorf("opened %v, want staging 1.0.0 again", got)
	}
}

func TestGitHostOutOfReach(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	carol := newPerson(t, "carol")
	w.believed(carol)
	commit := w.write(carol, runs("1.0.0"))
	w.git.down = fault.New(fault.Unavailable, "the host does not answer")
	kept, _, err := w.bridge.Receive(t.Context(), bridge.Message{Receiver: "x", Sender: "x", Key: "1", Facts: []bridge.Fact{pushed("main", commit)}})
	if err != nil {
		t.Fatal(err)
	}
	if list := w.process(kept[0].ID); len(list) != 0 {
		t.Errorf("handoffs %+v while the host is away", list)
	}
	w.git.down = nil
	w.want(w.only(w.process(kept[0].ID)), bridge.Accepted, "")
}

// received are the events that wait to be processed.
func (w *world) received() ([]int64, error) {
	list, err := w.store.Events(w.t.Context(), storecd.EventFilter{State: bridge.EventReceived})
	var ids []int64
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids, err
}
