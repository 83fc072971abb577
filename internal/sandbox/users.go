package sandbox

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// The users of the host that sandboxes run as when the server is root: a range that no
// distribution gives to anybody.
const (
	firstUser = 0x70000000
	lastUser  = 0x7ffffff0
)

// users hands out users of the host, one to each sandbox.
type users struct {
	first, last int // both 0: the server is not root, everything runs as its own user
	own         int
	mu          sync.Mutex
	taken       map[int]int // user → how many hold it
}

// newUsers finds the range of users, and takes out of it those that own a cache already.
func newUsers(cacheDir string) (*users, error) {
	u := &users{own: os.Geteuid(), taken: make(map[int]int)}
	if u.own != 0 {
		return u, nil
	}
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return nil, fmt.Errorf("reading the map of users: %w", err)
	}
	if u.first, u.last, err = userRange(string(text)); err != nil {
		return nil, err
	}
	caches, err := os.ReadDir(cacheDir)
	if err != nil {
		return nil, fmt.Errorf("listing caches: %w", err)
	}
	for _, c := range caches {
		if owner, err := ownerOf(filepath.Join(cacheDir, c.Name())); err == nil {
			u.taken[owner]++ // for ever: its files outlive every job
		}
	}
	return u, nil
}

// userRange is the part of the server's own user namespace that sandboxes may use: the
// usual one where it is mapped, else the upper half of the largest that is.
func userRange(uidMap string) (first, last int, err error) {
	most := 0
	for sc := bufio.NewScanner(strings.NewReader(uidMap)); sc.Scan(); {
		var inside, outside, count int
		if _, err := fmt.Sscan(sc.Text(), &inside, &outside, &count); err != nil {
			return 0, 0, fmt.Errorf("parsing the map of users: %w", err)
		}
		if inside <= firstUser && inside+count > lastUser {
			return firstUser, lastUser, nil
		}
		if count > most {
			most, first, last = count, inside+count/2, inside+count-2
		}
	}
	if last-first < 100 {
		return 0, 0, fmt.Errorf("root has %d users to itself here, too few for sandboxes: run the server as another user", most)
	}
	return first, last, nil
}

// root reports whether sandboxes get users of their own.
func (u *users) root() bool { return u.last != 0 }

// take gives a user that no other sandbox has. The choice is random so that two
// servers on a machine hardly ever meet.
func (u *users) take() int {
	if !u.root() {
		return u.own
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		id := u.first + rand.IntN(u.last-u.first) //nolint:gosec // not a secret
		if u.taken[id] == 0 {
			u.taken[id] = 1
			return id
		}
	}
}

// hold takes a user that something on disk belongs to.
func (u *users) hold(id int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taken[id]++
}

// release gives a user back.
func (u *users) release(id int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.taken[id]--; u.taken[id] <= 0 {
		delete(u.taken, id)
	}
}

// ownerOf is the user that path belongs to; a link is not followed.
func ownerOf(path string) (int, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s has no owner", path)
	}
	return int(sys.Uid), nil
}
