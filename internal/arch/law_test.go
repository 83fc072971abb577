package arch_test

// unit is a row of the import law: a folder, with all below it that has no row of its own,
// and what of this module its code may import. Tests are held to the crossing law alone.
type unit struct {
	path string   // folder, slash-separated, relative to the module
	may  []string // folders that it may import, each with all below it; its own is implied
	why  string   // what a violation is told
	pure bool     // no clock, files, network, processes, SQL or goroutines
	test bool     // support for tests: may import what tests may
}

// leaves are known to all and know only each other, where their row says so.
var leaves = []string{"internal/fault", "internal/artifact", "internal/attest", "internal/audit", "internal/yamlfile", "internal/expr", "internal/commitsig"}

// units is the import law: every package of the module has a row.
var units = []unit{
	{path: "internal/fault", pure: true, why: "fault is the leaf that everything imports"},
	{path: "internal/artifact", may: []string{"internal/fault"}, pure: true, why: "artifact is a leaf"},
	{path: "internal/attest", may: []string{"internal/fault", "internal/artifact", "internal/yamlfile"}, pure: true, why: "attest is a leaf"},
	{path: "internal/audit", may: []string{"internal/fault"}, pure: true, why: "audit is a leaf"},
	{path: "internal/yamlfile", may: []string{"internal/fault"}, pure: true, why: "yamlfile is a leaf"},

	{path: "internal/expr", may: []string{"internal/fault", "internal/yamlfile"}, pure: true, why: "expr is a leaf"},
	{path: "internal/commitsig", may: []string{"internal/fault"}, pure: true, why: "commitsig is a leaf"},

	{path: "internal/bridge", may: leaves, pure: true, why: "the bridge is the contract of both planes and knows neither"},
	{path: "internal/ci", may: with(leaves, "internal/bridge"), pure: true, why: "CI crosses to CD through the bridge alone"},
	{path: "internal/ci/citest", may: with(leaves, "internal/bridge", "internal/ci"), test: true, why: "citest supports the tests of CI's ports"},
	{path: "internal/cd", may: with(leaves, "internal/bridge"), pure: true, why: "CD takes from CI through the bridge alone"},
	{path: "internal/cd/cdtest", may: with(leaves, "internal/bridge", "internal/cd"), test: true, why: "cdtest supports the tests of CD's ports"},

	{path: "internal/identity", may: leaves, why: "adapters do not know each other"},
	{path: "internal/identity/identitytest", may: with(leaves, "internal/identity"), test: true, why: "identitytest supports the tests of identity's ports"},
	{path: "internal/store", may: with(leaves, "internal/identity"), why: "the engine knows no plane; of the adapters it keeps the rows that identity declares"},
	{path: "internal/store/ci", may: with(leaves, "internal/store", "internal/bridge", "internal/ci", "internal/registry"), why: "it implements CI's ports, and keeps the rows that registry declares"},
	{path: "internal/store/cd", may: with(leaves, "internal/store", "internal/bridge", "internal/cd"), why: "it implements the ports of the bridge and of CD"},
	{path: "internal/store/storetest", may: with(leaves, "internal/store"), test: true, why: "storetest supports the tests of stores"},
	{path: "internal/queue", may: with(leaves, "internal/store"), why: "the queue works on the store's jobs and knows no plane"},
	{path: "internal/registry", may: with(leaves, "internal/bridge"), why: "adapters do not know each other"},
	{path: "internal/registry/registrytest", may: with(leaves, "internal/bridge", "internal/registry"), test: true, why: "registrytest supports the tests of registry's ports"},
	{path: "internal/webhook", may: with(leaves, "internal/bridge"), why: "adapters do not know each other"},
	{path: "internal/remote", may: with(leaves, "internal/bridge"), why: "adapters do not know each other"},
	{path: "internal/packages", may: with(leaves, "internal/bridge"), why: "adapters do not know each other"},
	{path: "internal/forge", may: with(leaves, "internal/ci", "internal/bridge"), why: "adapters do not know each other"},
	{path: "internal/sandbox", may: with(leaves, "internal/ci"), why: "adapters do not know each other"},
	{path: "internal/target", may: with(leaves, "internal/cd"), why: "adapters do not know each other"},

	{path: "internal/target/targettest", may: with(leaves, "internal/cd", "internal/target"), test: true, why: "targettest supports the tests of targets"},
	{path: "internal/sandbox/sandboxtest", may: with(leaves, "internal/ci", "internal/sandbox"), test: true, why: "sandboxtest supports the tests of sandboxes"},

	{path: "internal/web", may: with(leaves, "internal/bridge", "internal/ci", "internal/cd", "internal/identity"), why: "the surface talks to planes; what adapters give it comes as functions from app"},
	{path: "internal/web/client", may: []string{"internal/fault", "internal/web/api"}, why: "the client knows the documents of the API and nothing behind it"},
	{path: "internal/app", may: []string{"internal"}, why: "app wires everything together"},
	{path: "internal/cli", may: with(leaves, "internal/app", "internal/demo", "internal/web/api", "internal/web/client", "internal/identity", "internal/bridge", "internal/cd", "internal/ci/workflow", "internal/webhook"), why: "commands go through the API; only server and lint run code of their own"},
	{path: "internal/demo", may: with(leaves, "internal/bridge", "internal/ci", "internal/cd", "internal/web/api", "internal/web/client", "internal/identity", "internal/registry", "examples"), why: "the demo is a user of the binary and of the API"},

	{path: "cmd", may: []string{"internal/cli", "internal/sandbox"}, why: "main starts the sandbox's entry or the command line, nothing else"},
	{path: "e2e", may: []string{"internal", "cmd", "examples"}, test: true, why: "stories may use everything"},
	{path: "bench", may: []string{"internal", "examples"}, test: true, why: "measurements may use everything"},
	{path: "examples", why: "examples stand for a user's code"},
	{path: "internal/arch", why: "arch holds nothing but tests"},
}

// importers says who may import a package that few may, whatever their own rows say.
var importers = map[string][]string{
	"internal/app": {"internal/cli", "cmd", "e2e", "bench"},
	"internal/cli": {"cmd", "e2e"},
}

// impure are the packages of the standard library that bring the world into a plane.
var impure = map[string]string{
	"database/sql": "SQL lives in internal/store",
	"net/http":     "HTTP lives in internal/web and in adapters",
	"net/rpc":      "planes are called, they do not call out",
	"os":           "files and the environment are an adapter's",
	"os/exec":      "processes are an adapter's",
	"os/signal":    "signals are main's",
	"os/user":      "users of the host are an adapter's",
	"syscall":      "the kernel is an adapter's",
	"unsafe":       "nothing here needs it",
	"testing":      "tests and their support live beside, not in, the plane",
}

// clock are the functions of package time that read or wait for the clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// goroutines are the plane files that may start one; each waits for it before it returns.
var goroutines = map[string]string{
	"internal/ci/checkout.go": "a pipe from the archive into the sandbox, both ends in one call",
	"internal/ci/publish.go":  "a pipe from the sandbox into the image, both ends in one call",
}

// library is a module from outside and the only folders whose code may import it; tests may
// import any. docs/dependencies.md says what each is for.
type library struct {
	path   string
	owners []string
}

// libraries are all that the product may import from outside. A library with one owner can be
// replaced in one place.
var libraries = []library{
	{"database/sql", []string{"internal/store"}}, // not from outside, but owned like it
	{"github.com/jackc/pgx/v5", []string{"internal/store"}},
	{"modernc.org/sqlite", []string{"internal/store"}},
	{"github.com/pressly/goose/v3", []string{"internal/store"}},
	{"github.com/riverqueue/river", []string{"internal/store", "internal/queue"}},
	{"golang.org/x/mod", []string{"internal/audit", "internal/store"}},
	{"golang.org/x/sync", []string{"internal/app"}},
	{"golang.org/x/sys", []string{"internal/sandbox", "internal/target", "internal/store", "cmd"}},
	{"github.com/distribution/distribution/v3", []string{"internal/registry"}},
	{"github.com/sirupsen/logrus", []string{"internal/registry"}},
	{"github.com/google/go-containerregistry", []string{"internal/registry", "internal/demo"}},
	{"github.com/klauspost/compress", []string{"internal/target", "internal/packages"}},
	{"cel.dev/cel-go", []string{"internal/expr"}},
	{"github.com/robfig/cron/v3", []string{"internal/bridge"}},
	{"github.com/santhosh-tekuri/jsonschema/v6", []string{"internal/bridge"}},
	{"github.com/go-jose/go-jose/v4", []string{"internal/identity"}},
	{"github.com/ProtonMail/go-crypto", []string{"internal/commitsig"}},
	{"golang.org/x/crypto", []string{"internal/commitsig"}},
	{"github.com/sigstore/sigstore-go", []string{"internal/attest"}},
	{"github.com/sigstore/sigstore", []string{"internal/attest"}},
	{"github.com/CycloneDX/cyclonedx-go", []string{"internal/ci/sbom", "internal/attest"}},
	{"github.com/rhysd/actionlint", []string{"internal/ci/workflow"}},
	{"go.yaml.in/yaml/v4", []string{"internal/ci/workflow"}},
	{"github.com/goccy/go-yaml", []string{"internal/yamlfile", "internal/attest", "internal/web"}},
	{"github.com/Masterminds/semver/v3", []string{"internal/bridge", "internal/cd"}},
	{"github.com/prometheus/client_golang", []string{"internal/web", "internal/app"}},
	{"github.com/invopop/jsonschema", []string{"internal/web"}},
	{"github.com/rogpeppe/go-internal", []string{"internal/web", "internal/cli", "examples"}},
	{"github.com/spf13/cobra", []string{"internal/cli"}},
	{"github.com/spf13/pflag", []string{"internal/cli"}},
}

// emptyNames are package names that say nothing about the job.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "types", "model", "models", "misc", "shared", "lib", "pkg"}

// maxLines is the length of a file that a reader can still hold; about 150 is usual.
const maxLines = 600

// makers are the calls whose value a package-level variable may hold: errors, tables and what
// is compiled once and never changes.
var makers = []string{
	"errors.New", "fmt.Errorf", "fault.New", "fault.Wrap", "WithHint", "WithField",
	"regexp.MustCompile", "template.Must", "strings.NewReplacer",
	"sync.OnceFunc", "sync.OnceValue", "sync.OnceValues",
	"prometheus.NewDesc", "reflect.TypeFor", "PkgPath", "time.Date", "tlog.Hash", "sha256.Sum256",
}

// with is a new list of a and b.
func with(a []string, b ...string) []string {
	return append(append([]string{}, a...), b...)
}
