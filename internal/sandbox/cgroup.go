package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// controllers are the kinds of limit, under the names that Facts gives them too.
var controllers = []string{"memory", "pids", "cpu"}

// Names of the groups that this package makes: "drawbridge.PID.MARK.N", PID being the
// server's. MARK is drawn anew by each Sandbox: one process may have several, and a PID comes
// back while groups of the server that had it before are still there.
const (
	groupPrefix  = "drawbridge."
	serverPrefix = "drawbridge-server."
)

// cpuPeriod is the time over which a share of CPU is counted, in microseconds.
const cpuPeriod = 100_000

// groups makes control groups below the server's own: of version 2 where its subtree is
// delegated to the server, else of version 1, else none.
type groups struct {
	log     *slog.Logger
	mark    string               // tells this Sandbox's groups from all others'
	parents map[string]hierarchy // controller → where its groups are made
	next    atomic.Int64
}

// hierarchy is a directory of the cgroup file system below which groups may be made.
type hierarchy struct {
	dir string
	v2  bool
}

// limits bound what all processes of a sandbox use together.
type limits struct {
	memory int64   // bytes
	pids   int64   // processes and threads
	cpu    float64 // cores; 0 means no limit
}

// findGroups finds where groups can be made; it tries each once.
func findGroups(log *slog.Logger) *groups {
	g := &groups{log: log, mark: rand.Text(), parents: make(map[string]hierarchy)}
	own, err1 := os.ReadFile("/proc/self/cgroup")
	mounts, err2 := os.ReadFile("/proc/self/mountinfo")
	if err := errors.Join(err1, err2); err != nil {
		log.Warn("no limits hold for sandboxes", slog.Any("error", err))
		return g
	}
	places := ownGroups(string(own), string(mounts))
	if dir := places[""]; dir != "" {
		for _, c := range delegated(dir) {
			g.parents[c] = hierarchy{dir: delegationRoot(dir), v2: true}
		}
	}
	for _, c := range controllers {
		if _, ok := g.parents[c]; ok || places[c] == "" {
			continue
		}
		probe := filepath.Join(places[c], g.name())
		if os.Mkdir(probe, 0o755) == nil { //nolint:gosec // the kernel's own file system
			_ = os.Remove(probe) // an empty group
			g.parents[c] = hierarchy{dir: places[c]}
		}
	}
	g.sweep()
	return g
}

// holds lists the limits that hold.
func (g *groups) holds() []string {
	held := make([]string, 0, len(controllers))
	for _, c := range controllers {
		if _, ok := g.parents[c]; ok {
			held = append(held, c)
		}
	}
	return held
}

func (g *groups) name() string {
	return groupPrefix + strconv.Itoa(os.Getpid()) + "." + g.mark + "." + strconv.FormatInt(g.next.Add(1), 10)
}

// ownGroups finds the directory of the server's own group in each hierarchy that is
// mounted: the key is the controller, "" for version 2. The arguments are
// /proc/self/cgroup and /proc/self/mountinfo.
func ownGroups(cgroups, mountinfo string) map[string]string {
	paths := make(map[string]string)
	for line := range strings.Lines(cgroups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			paths[c] = f[2]
		}
	}
	dirs := make(map[string]string)
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		root, at := f[3], f[4]
		switch g[0] {
		case "cgroup2":
			dirs[""] = below(at, root, paths[""])
		case "cgroup":
			for c := range strings.SplitSeq(g[2], ",") {
				if slices.Contains(controllers, c) {
					dirs[c] = below(at, root, paths[c])
				}
			}
		}
	}
	return dirs
}

// below is where the group path of a hierarchy, of which root is mounted at at, is found;
// at itself where it cannot be seen, as in a container with a mount of its own.
func below(at, root, path string) string {
	rel, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
	dir := filepath.Join(at, rel)
	if _, err := os.Stat(dir); !ok || err != nil { //nolint:gosec // what the kernel says of us
		return at
	}
	return dir
}

// delegationRoot is the group below which groups are made, when dir is the server's own: it
// may have moved itself down already, see delegated.
func delegationRoot(dir string) string {
	if strings.HasPrefix(filepath.Base(dir), serverPrefix) {
		return filepath.Dir(dir)
	}
	return dir
}

// delegated makes dir, the server's own version 2 group, hand on the controllers that it has and lists
// them. A group with processes of its own cannot: the server then moves into one beneath.
func delegated(dir string) []string {
	root := delegationRoot(dir)
	text, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")) //nolint:gosec // the kernel's own file system
	if err != nil {
		return nil
	}
	var have []string
	for _, c := range controllers {
		if slices.Contains(strings.Fields(string(text)), c) {
			have = append(have, c)
		}
	}
	if len(have) == 0 {
		return nil
	}
	order := "+" + strings.Join(have, " +")
	err = write(root, "cgroup.subtree_control", order)
	if errors.Is(err, syscall.EBUSY) {
		leaf := filepath.Join(root, serverPrefix+strconv.Itoa(os.Getpid()))
		self := strconv.Itoa(os.Getpid())
		if os.Mkdir(leaf, 0o755) != nil || write(leaf, "cgroup.procs", self) != nil { //nolint:gosec // the kernel's own file system
			return nil
		}
		if err = write(root, "cgroup.subtree_control", order); err != nil {
			_ = write(root, "cgroup.procs", self) // there are others in the group: back to them
			_ = os.Remove(leaf)
		}
	}
	if err != nil {
		return nil
	}
	return have
}

// write writes one of a group's files, which must exist: elsewhere a misspelt one would be made.
func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0) //nolint:gosec // the kernel's own file system
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// group is the control group of one sandbox, in one or more hierarchies.
type group struct {
	dirs   map[string]bool // directories
	memory hierarchy       // where memory is counted, its dir being the group's; zero when it is not
}

// create makes a group with limits.
func (g *groups) create(l limits) (*group, error) {
	gr := &group{dirs: make(map[string]bool)}
	name := g.name()
	for c, h := range g.parents {
		dir := filepath.Join(h.dir, name)
		err := os.Mkdir(dir, 0o755) //nolint:gosec // the kernel's own file system
		if err == nil || (errors.Is(err, fs.ErrExist) && gr.dirs[dir]) {
			gr.dirs[dir] = true
			err = restrict(dir, c, h.v2, l)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("making a control group: %w", err), gr.remove())
		}
		if c == "memory" {
			gr.memory = hierarchy{dir: dir, v2: h.v2}
		}
	}
	return gr, nil
}

// restrict writes one controller's limits.
func restrict(dir, controller string, v2 bool, l limits) error {
	switch controller {
	case "memory":
		memory, swap := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
		bytes, rest := strconv.FormatInt(l.memory, 10), strconv.FormatInt(l.memory, 10)
		if v2 {
			memory, swap, rest = "memory.max", "memory.swap.max", "0"
		}
		if err := write(dir, memory, bytes); err != nil {
			return err
		}
		if err := write(dir, swap, rest); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // a kernel that does not count swap has no such file
		}
	case "pids":
		return write(dir, "pids.max", strconv.FormatInt(l.pids, 10))
	case "cpu":
		if l.cpu <= 0 {
			return nil
		}
		quota := strconv.FormatInt(max(1000, int64(l.cpu*cpuPeriod)), 10)
		if v2 {
			return write(dir, "cpu.max", quota+" "+strconv.Itoa(cpuPeriod))
		}
		return errors.Join(write(dir, "cpu.cfs_period_us", strconv.Itoa(cpuPeriod)), write(dir, "cpu.cfs_quota_us", quota))
	}
	return nil
}

// add puts a process into the group; what it starts is in it too.
func (gr *group) add(pid int) error {
	for dir := range gr.dirs {
		if err := write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("adding to a control group: %w", err)
		}
	}
	return nil
}

// oomKills is how many processes of the group the memory limit has ended.
func (gr *group) oomKills() int64 {
	file := "memory.oom_control"
	if gr.memory.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(gr.memory.dir, file))
	if gr.memory.dir == "" || err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// remove removes the group, whose processes have ended. The kernel may count them for a moment longer.
func (gr *group) remove() error {
	var errs []error
	for _, dir := range slices.Collect(maps.Keys(gr.dirs)) {
		var err error
		for range 200 {
			if err = os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
				err = nil
				break
			}
			time.Sleep(time.Millisecond)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sweep removes the groups that servers which are gone have left.
func (g *groups) sweep() {
	for _, h := range g.parents {
		entries, err := os.ReadDir(h.dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			rest, ok := strings.CutPrefix(e.Name(), groupPrefix)
			if !ok {
				rest, ok = strings.CutPrefix(e.Name(), serverPrefix)
			}
			pid, _, _ := strings.Cut(rest, ".")
			if _, err := os.Stat("/proc/" + pid); !ok || err == nil {
				continue
			}
			if err := os.Remove(filepath.Join(h.dir, e.Name())); err != nil {
				g.log.Debug("a control group of a server that is gone stays", slog.String("group", e.Name()), slog.Any("error", err))
			}
		}
	}
}

// machineMemory is the machine's memory in bytes; a large number where it cannot be told.
func machineMemory() int64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 1 << 40
	}
	return int64(info.Totalram) * int64(info.Unit) //nolint:gosec // less than 2^63
}
