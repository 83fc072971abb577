package sandbox

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestUserRange(t *testing.T) {
	for name, c := range map[string]struct {
		uidMap      string
		first, last int
		fails       bool
	}{
		"whole machine":  {"         0          0 4294967295\n", firstUser, lastUser, false},
		"container":      {"0 100000 65536\n", 32768, 65534, false},
		"two extents":    {"0 1000 1\n1 100000 65536\n", 32769, 65535, false},
		"one user":       {"0 1000 1\n", 0, 0, true},
		"malformed":      {"zero\n", 0, 0, true},
		"empty":          {"", 0, 0, true},
		"ends too early": {"0 0 1879048200\n", 939524100, 1879048198, false},
	} {
		first, last, err := userRange(c.uidMap)
		if (err != nil) != c.fails || (!c.fails && (first != c.first || last != c.last)) {
			t.Errorf("%s: userRange = %d, %d, %v, want %d, %d", name, first, last, err, c.first, c.last)
		}
	}
}

func TestUsersAreDistinct(t *testing.T) {
	u := &users{first: 1000, last: 1100, taken: map[int]int{1050: 1}}
	var got []int
	for range 99 {
		got = append(got, u.take())
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 99 || slices.Contains(got, 1050) {
		t.Errorf("take gave a user twice, or one that is taken: %v", got)
	}
	u.release(1007)
	if id := u.take(); id != 1007 {
		t.Errorf("take = %d, want the one that was released", id)
	}
}

func TestOwnGroups(t *testing.T) {
	v1, v2 := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(v1, "job", "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	mounts := "36 24 0:31 / " + v1 + " rw,relatime shared:1 - cgroup cgroup rw,memory\n" +
		"37 24 0:32 /docker/x " + v2 + " rw - cgroup2 cgroup2 rw\n" + "bad line\n38 24 0:33 / /sys rw - sysfs sysfs rw\n"
	got := ownGroups("4:memory:/job/7\n3:cpu,cpuacct:/\n0::/docker/x\nbad\n", mounts)
	if got["memory"] != filepath.Join(v1, "job", "7") || got[""] != v2 || got["cpu"] != "" {
		t.Errorf("ownGroups = %q", got)
	}
	if got := ownGroups("4:memory:/elsewhere\n", mounts); got["memory"] != v1 {
		t.Errorf("a group that cannot be seen: %q, want the mount itself", got["memory"])
	}
}

func FuzzOwnGroups(f *testing.F) {
	f.Add("0::/\n", "37 24 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	f.Fuzz(func(_ *testing.T, cgroups, mounts string) { ownGroups(cgroups, mounts) })
}

// The kernel's files for version 2, which few machines with version 1 can show, as plain ones.
func TestVersion2(t *testing.T) {
	root := t.TempDir()
	file := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file(root, "cgroup.controllers", "cpuset cpu io memory pids\n")
	file(root, "cgroup.subtree_control", "")
	if got := delegated(root); !slices.Equal(got, []string{"memory", "pids", "cpu"}) {
		t.Errorf("delegated = %q", got)
	}
	if text, _ := os.ReadFile(filepath.Join(root, "cgroup.subtree_control")); string(text) != "+memory +pids +cpu" {
		t.Errorf("subtree_control is told %q", text)
	}
	if got := delegated(filepath.Join(root, serverPrefix+"1")); len(got) != 3 {
		t.Errorf("delegated, from the server's own leaf = %q", got)
	}
	file(root, "cgroup.controllers", "hugetlb\n")
	if got := delegated(root); got != nil {
		t.Errorf("delegated without a controller = %q", got)
	}
	dir := filepath.Join(root, "g")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"memory.max", "memory.swap.max", "pids.max", "cpu.max", "cgroup.procs"} {
		file(dir, name, "")
	}
	file(dir, "memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
	for _, c := range controllers {
		if err := restrict(dir, c, true, limits{memory: 1 << 20, pids: 7, cpu: 0.5}); err != nil {
			t.Errorf("restrict %s: %v", c, err)
		}
	}
	gr := &group{dirs: map[string]bool{dir: true}, memory: hierarchy{dir: dir, v2: true}}
	if err := gr.add(42); err != nil || gr.oomKills() != 2 {
		t.Errorf("add: %v; oomKills = %d, want 2", err, gr.oomKills())
	}
	for name, want := range map[string]string{"memory.max": "1048576", "memory.swap.max": "0", "pids.max": "7", "cpu.max": "50000 100000", "cgroup.procs": "42"} {
		if text, _ := os.ReadFile(filepath.Join(dir, name)); string(text) != want {
			t.Errorf("%s is %q, want %q", name, text, want)
		}
	}
}

func TestGroupsOfTwoSandboxesDiffer(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if a, b := findGroups(log).name(), findGroups(log).name(); a == b {
		t.Errorf("both are called %s", a)
	}
}

func TestSweepGroups(t *testing.T) {
	dir := t.TempDir()
	own, gone, other := groupPrefix+strconv.Itoa(os.Getpid())+".1", groupPrefix+"999999999.1", "somebody"
	for _, d := range []string{own, gone, other, serverPrefix + "999999999"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g := &groups{log: slog.New(slog.DiscardHandler), parents: map[string]hierarchy{"memory": {dir: dir}}}
	g.sweep()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != own || entries[1].Name() != other {
		t.Errorf("after sweep there are %v, %v", entries, err)
	}
}

func TestRemoveTree(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "tree", strings.Repeat("d/", 3*liftAt))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, "kept")
	for _, f := range []string{kept, filepath.Join(deep, "f")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(deep, "up")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := removeTree(filepath.Join(dir, "tree")); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "kept" {
		t.Errorf("%v is left, %v, want the file beside the tree", left, err)
	}
}

func TestSearchPath(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := searchPath([]string{dir, "/none"}); !strings.HasPrefix(got, dir+"/bin:") || !strings.HasSuffix(got, defaultPath) || strings.Contains(got, "/none") {
		t.Errorf("searchPath = %q", got)
	}
}
