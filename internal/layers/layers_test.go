package layers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/supervisor-checks/supervisor-checks"

// room is a package's place in the house.
type room struct {
	floor    int
	may      []string // what it may import of ours; "..." is everything on lower floors
	forTests bool     // only tests may import it, and what is for tests itself
}

// public are the packages that anybody can import.
var public = []string{"checks", "listener", "notify", "prober", "record", "runner", "supervisor"}

// house is the table of the design. A new package gets a row.
var house = map[string]room{
	"cmd/supervisor_complex_check": {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_cpu_check":     {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_memory_check":  {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_xmlrpc_check":  {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_file_check":    {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_http_check":    {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_notify":        {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_script_check":  {floor: 6, may: []string{"internal/cli"}},
	"cmd/supervisor_tcp_check":     {floor: 6, may: []string{"internal/cli"}},
	"examples/custom_check":        {floor: 6, may: public},
	"examples/demo":                {floor: 6, may: public},
	"examples/health_endpoint":     {floor: 6, may: append([]string{"health", "probes/postgres", "probes/redis"}, public...)},
	"examples/heartbeat_worker":    {floor: 6, may: public},
	"examples/prober":              {floor: 6, may: public},
	"internal/conformance":         {floor: 6, may: []string{"..."}, forTests: true},
	"internal/docs":                {floor: 6, may: []string{"internal/cli", "internal/config", "internal/host", "record"}},
	"internal/bench":               {floor: 6, may: []string{"..."}, forTests: true},
	"internal/e2e":                 {floor: 6, may: []string{"..."}, forTests: true},
	"internal/layers":              {floor: 6, may: []string{"..."}, forTests: true},
	"internal/realservers":         {floor: 6, may: []string{"..."}, forTests: true},
	"internal/realsupervisord":     {floor: 6, may: []string{"..."}, forTests: true},
	"internal/soak":                {floor: 6, may: []string{"..."}, forTests: true},

	"record/recordtest":   {floor: 2, may: []string{"record"}, forTests: true},
	"internal/scripttest": {floor: 3, may: []string{"internal/cloudprober", "internal/proc", "record", "record/recordtest", "supervisor", "supervisor/supervisortest"}, forTests: true},
	"internal/testdisk":   {floor: 0, forTests: true},

	"cmd/supervisor_checks": {floor: 6, may: []string{"internal/host"}},

	"internal/host":    {floor: 5, may: []string{"...", "internal/migrate"}},
	"internal/migrate": {floor: 5, may: []string{"checks", "internal/cli", "internal/config", "internal/decimal", "internal/duration", "internal/setting", "record/uptimer"}},

	"internal/cli": {floor: 4, may: []string{"checks", "internal/command", "internal/decimal", "internal/foreign", "internal/script", "internal/setting", "internal/show", "notify", "record", "runner", "supervisor"}},

	"internal/config":  {floor: 4, may: []string{"checks", "health", "probes", "probes/mongo", "probes/mysql", "probes/postgres", "probes/redis", "probes/script", "probes/swift", "internal/command", "internal/decimal", "internal/foreign", "internal/logout", "internal/script", "internal/setting", "record", "record/uptimer", "runner", "sinks", "sinks/kafka", "sinks/postgres", "sinks/sqlite", "supervisor"}},
	"internal/setting": {floor: 4, may: []string{"internal/command", "internal/decimal", "runner", "supervisor"}},

	"runner": {floor: 3, may: []string{"checks", "internal/command", "internal/control", "internal/duration", "internal/foreign", "internal/proc", "internal/recurring", "listener", "record", "supervisor"}},

	"checks": {floor: 2, may: []string{"internal/decimal", "internal/duration", "internal/foreign", "internal/httpcheck", "internal/jsoncheck", "internal/proc", "internal/script", "notify", "supervisor"}},

	"prober": {floor: 2, may: []string{"internal/cloudprober", "internal/duration", "internal/foreign", "internal/nagios"}},

	"health": {floor: 3, may: []string{"internal/cloudprober", "internal/recurring", "probes", "record"}},

	"probes":          {floor: 2, may: []string{"internal/httpcheck", "internal/jsoncheck", "internal/tlsfiles"}},
	"probes/mongo":    {floor: 2, may: []string{"probes"}},
	"probes/mysql":    {floor: 2, may: []string{"internal/readlimit", "probes"}},
	"probes/postgres": {floor: 2, may: []string{"internal/readlimit", "probes"}},
	"probes/redis":    {floor: 2, may: []string{"internal/readlimit", "probes"}},
	"probes/script":   {floor: 2, may: []string{"internal/script", "probes"}},
	"probes/swift":    {floor: 2, may: []string{"internal/readlimit", "probes"}},

	"sinks":          {floor: 2, may: []string{"internal/recurring", "internal/spool", "record"}},
	"sinks/kafka":    {floor: 2, may: []string{"internal/recurring", "record", "sinks"}},
	"sinks/postgres": {floor: 2, may: []string{"record", "sinks"}},
	"sinks/sqlite":   {floor: 2, may: []string{"record", "sinks"}},

	"internal/availability":     {floor: 2, may: []string{"record"}},
	"internal/control":          {floor: 1},
	"internal/show":             {floor: 1, may: []string{"internal/cloudprober", "internal/foreign", "internal/nagios"}},
	"listener":                  {floor: 1},
	"notify":                    {floor: 1},
	"record":                    {floor: 1},
	"record/uptimer":            {floor: 1, may: []string{"record"}},
	"supervisor":                {floor: 1, may: []string{"internal/foreign"}},
	"supervisor/supervisortest": {floor: 1, may: []string{"listener", "supervisor"}},

	"internal/cloudprober": {floor: 0, may: []string{"internal/foreign"}},
	"internal/command":     {floor: 0},
	"internal/decimal":     {floor: 0},
	"internal/duration":    {floor: 0},
	"internal/foreign":     {floor: 0},
	"internal/httpcheck":   {floor: 0, may: []string{"internal/duration", "internal/tlsfiles"}},
	"internal/jsoncheck":   {floor: 0},
	"internal/logout":      {floor: 0},
	"internal/nagios":      {floor: 0, may: []string{"internal/foreign"}},
	"internal/proc":        {floor: 0},
	"internal/readlimit":   {floor: 0},
	"internal/recurring":   {floor: 0},
	"internal/script":      {floor: 0, may: []string{"internal/cloudprober", "internal/command", "internal/foreign", "internal/jsoncheck", "internal/nagios", "internal/recurring"}},
	"internal/spool":       {floor: 0},
	"internal/tlsfiles":    {floor: 0},
}

// libraries are the modules of others that we import, each with the packages
// that may; "..." is all of them, and tests may use those that have none.
var libraries = map[string][]string{
	"github.com/adhocore/gronx":                {"internal/config"},
	"github.com/google/go-cmp":                 nil,
	"github.com/goccy/go-yaml":                 {"internal/config", "internal/show"}, // which reads what it has written, in its tests
	"github.com/go-sql-driver/mysql":           {"probes/mysql"},
	"github.com/jackc/pgx/v5":                  {"internal/bench", "probes/postgres", "sinks/postgres", "internal/host"},
	"github.com/kballard/go-shellquote":        {"internal/command"},
	"github.com/kolo/xmlrpc":                   {"checks", "supervisor"},
	"github.com/pressly/goose/v3":              {"sinks/postgres"},
	"github.com/prometheus/client_golang":      {"health"},
	"github.com/prometheus/common":             {"health", "internal/cloudprober"},
	"github.com/redis/go-redis/v9":             {"probes/redis"},
	"github.com/rogpeppe/go-internal":          nil,
	"github.com/santhosh-tekuri/jsonschema/v6": nil,
	"github.com/shirou/gopsutil/v3":            {"internal/proc"},
	"github.com/spf13/cobra":                   {"internal/cli", "internal/docs", "internal/host"},
	"github.com/spf13/pflag":                   {"internal/cli", "internal/docs", "internal/host"},
	"github.com/ncw/swift/v2":                  {"probes/swift"},
	"github.com/prometheus/procfs":             {"internal/proc"},
	"github.com/theory/jsonpath":               {"internal/jsoncheck"},
	"github.com/twmb/franz-go":                 {"sinks/kafka", "internal/bench"},
	"github.com/twmb/franz-go/pkg/kfake":       nil,
	"golang.org/x/net":                         {"health", "probes"},
	"go.mongodb.org/mongo-driver/v2":           {"probes/mongo"},
	"golang.org/x/sys":                         {"..."},
	"google.golang.org/protobuf":               {"internal/cloudprober"}, // of which only encoding/protowire
	"modernc.org/sqlite":                       {"sinks/sqlite", "internal/host"},
	"golang.org/x/text":                        {"internal/show"},
}

// light are the packages whose users get nothing heavy with them.
var light = []string{
	"checks", "listener", "notify", "prober", "runner",
	"cmd/supervisor_complex_check", "cmd/supervisor_cpu_check", "cmd/supervisor_file_check", "cmd/supervisor_http_check",
	"cmd/supervisor_memory_check", "cmd/supervisor_notify", "cmd/supervisor_script_check", "cmd/supervisor_tcp_check", "cmd/supervisor_xmlrpc_check",
}

// heavy are databases, brokers, web frameworks and the like.
var heavy = []string{
	"database/sql",
	"github.com/gin-gonic",
	"github.com/go-redis",
	"github.com/go-sql-driver",
	"github.com/goccy/go-yaml",
	"github.com/gorilla",
	"github.com/jackc/pgx",
	"github.com/labstack/echo",
	"github.com/mattn/go-sqlite3",
	"github.com/ncw/swift",
	"github.com/pressly/goose",
	"github.com/prometheus/client_golang",
	"github.com/redis/go-redis",
	"github.com/twmb/franz-go",
	"go.mongodb.org/mongo-driver",
	"modernc.org/sqlite",
}

// pkg is a package as go list describes it.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// name returns the path of one of our packages within the module.
func name(importPath string) (string, bool) { return strings.CutPrefix(importPath, module+"/") }

func TestEveryImportPointsDown(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "freebsd"} {
		for _, problem := range problems(house, list(t, goos)) {
			t.Errorf("for %s: %s", goos, problem)
		}
	}
}

func TestEveryLibraryIsUsedInItsPlace(t *testing.T) {
	for _, problem := range libraryProblems(list(t, "linux")) {
		t.Error(problem)
	}
}

func TestLightPackagesLinkNothingHeavy(t *testing.T) {
	packages := list(t, "linux")
	for _, root := range light {
		chains := closure(packages, module+"/"+root)
		if chains == nil {
			t.Errorf("there is no %s any more: take it from the list of light packages", root)
		}
		for _, path := range slices.Sorted(maps.Keys(chains)) {
			if slices.ContainsFunc(heavy, func(prefix string) bool { return within(path, prefix) }) {
				t.Errorf("%s links %s: %s", root, path, strings.Join(chains[path], " → "))
			}
		}
	}
}

func TestNotifyImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range list(t, "linux") {
		if p.ImportPath != module+"/notify" {
			continue
		}
		for _, path := range p.Imports {
			if !isStandard(path) {
				t.Errorf("notify imports %s", path)
			}
		}
		return
	}
	t.Error("there is no notify")
}

func TestMainsHaveNoLogic(t *testing.T) {
	const most = 12
	folders, err := filepath.Glob("../../cmd/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no commands: %v", err)
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) != 1 {
			t.Errorf("%s: %q, want one file", folder, files)
			continue
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(text), "\n"); lines > most {
			t.Errorf("%s has %d lines, want at most %d: move what it does to internal/cli or internal/host", files[0], lines, most)
		}
	}
}

// problems returns what is wrong with the imports of packages, or with rooms.
func problems(rooms map[string]room, packages []pkg) []string {
	var found []string
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	there := make(map[string]bool)
	for _, p := range packages {
		self, ours := name(p.ImportPath)
		if !ours {
			continue
		}
		there[self] = true
		room, known := rooms[self]
		if !known {
			report("%s has no row in the table of internal/layers: add one, on the lowest floor above what it imports", self)
			continue
		}
		for _, path := range p.Imports {
			other, ours := name(path)
			target, known := rooms[other]
			switch {
			case !ours || !known:
			case target.forTests && !rooms[self].forTests:
				report("%s imports %s, which is for tests only", self, other)
			case target.floor > room.floor:
				report("%s on floor %d imports %s on floor %d: an arrow may only point down", self, room.floor, other, target.floor)
			case slices.Contains(room.may, other):
			case target.floor == room.floor || !slices.Contains(room.may, "..."):
				report("%s imports %s, which its row does not list: pass it in through an interface, or say why in DESIGN.md and list it", self, other)
			}
		}
	}
	for _, self := range slices.Sorted(maps.Keys(rooms)) {
		if !there[self] {
			report("%s has a row in the table of internal/layers, but is gone: take the row away", self)
		}
		for _, other := range rooms[self].may {
			target, known := rooms[other]
			switch {
			case other == "...":
			case !known:
				report("the row of %s lists %s, which has none", self, other)
			case target.floor > rooms[self].floor:
				report("the row of %s, on floor %d, lists %s, on floor %d", self, rooms[self].floor, other, target.floor)
			}
		}
	}
	return found
}

// libraryProblems returns which of our packages import what they may not of
// others.
func libraryProblems(packages []pkg) []string {
	var found []string
	for _, p := range packages {
		self, ours := name(p.ImportPath)
		if !ours {
			continue
		}
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if _, ours := name(path); ours || isStandard(path) {
				continue
			}
			library := ""
			for l := range libraries {
				if within(path, l) && len(l) > len(library) {
					library = l
				}
			}
			users, known := libraries[library]
			inTestsOnly := !slices.Contains(p.Imports, path) || house[self].forTests
			switch {
			case !known:
				found = append(found, fmt.Sprintf("%s imports %s of a module that is in no row of DESIGN.md §7", self, path))
			case users == nil && inTestsOnly, slices.Contains(users, self), slices.Contains(users, "..."):
			case users == nil:
				found = append(found, fmt.Sprintf("%s imports %s, which is for tests only", self, path))
			default:
				found = append(found, fmt.Sprintf("%s imports %s, which only %s may", self, path, strings.Join(users, ", ")))
			}
		}
	}
	return found
}

// closure returns what a package links, itself included, each with the chain of
// imports that leads there; nil if there is no such package.
func closure(packages []pkg, root string) map[string][]string {
	byPath := make(map[string]pkg)
	for _, p := range packages {
		byPath[p.ImportPath] = p
	}
	if _, there := byPath[root]; !there {
		return nil
	}
	chains := map[string][]string{root: {root}}
	for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
		for _, path := range byPath[queue[0]].Imports {
			if chains[path] == nil {
				chains[path] = append(slices.Clone(chains[queue[0]]), path)
				queue = append(queue, path)
			}
		}
	}
	return chains
}

func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// isStandard reports whether a package is of the standard library, which has no
// domain in its paths.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// list returns the packages of the module and all that they import.
func list(t *testing.T, goos string) []pkg {
	t.Helper()
	lookAtSources(t)
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// lookAtSources keeps go test from taking the result of this test from its cache
// when a source has changed: it knows what a test looks at, but not what go list
// does.
func lookAtSources(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "../.." && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go"):
			os.Stat(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The test itself finds what it is for.
func TestProblemsAreFound(t *testing.T) {
	rooms := map[string]room{
		"roof":   {floor: 2, may: []string{"..."}},
		"attic":  {floor: 1, may: []string{"cellar"}},
		"loft":   {floor: 1, may: []string{"..."}},
		"cellar": {floor: 0},
		"pantry": {floor: 0},
		"probe":  {floor: 2, may: []string{"..."}, forTests: true},
	}
	sound := map[string][]string{
		"roof":   {"fmt", "golang.org/x/sys/unix", "attic", "cellar"},
		"attic":  {"cellar"},
		"loft":   nil,
		"cellar": nil,
		"pantry": nil,
		"probe":  {"attic"},
	}
	for _, test := range []struct {
		name     string
		packages map[string][]string // that differ from the sound ones
		rooms    map[string]room     // that differ
		want     []string
	}{
		{name: "sound"},
		{
			name:     "an arrow upwards",
			packages: map[string][]string{"cellar": {"fmt", "attic"}},
			want:     []string{"cellar on floor 0 imports attic on floor 1: an arrow may only point down"},
		},
		{
			name:     "an arrow upwards from where everything below is allowed",
			packages: map[string][]string{"loft": {"roof", "pantry"}},
			want:     []string{"loft on floor 1 imports roof on floor 2: an arrow may only point down"},
		},
		{
			name:     "a neighbour",
			packages: map[string][]string{"loft": {"attic"}},
			want:     []string{"loft imports attic, which its row does not list: pass it in through an interface, or say why in DESIGN.md and list it"},
		},
		{
			name:     "downwards, but not listed",
			packages: map[string][]string{"attic": {"pantry"}},
			want:     []string{"attic imports pantry, which its row does not list: pass it in through an interface, or say why in DESIGN.md and list it"},
		},
		{
			name:     "a package for tests",
			packages: map[string][]string{"roof": {"probe"}},
			want:     []string{"roof imports probe, which is for tests only"},
		},
		{
			name:     "a package without a row",
			packages: map[string][]string{"shed": {"roof"}},
			want:     []string{"shed has no row in the table of internal/layers: add one, on the lowest floor above what it imports"},
		},
		{
			name:  "a row without a package",
			rooms: map[string]room{"shed": {floor: 3}},
			want:  []string{"shed has a row in the table of internal/layers, but is gone: take the row away"},
		},
		{
			name:  "a row that allows an arrow upwards, and one to nowhere",
			rooms: map[string]room{"cellar": {floor: 0, may: []string{"attic", "shed"}}},
			want:  []string{"the row of cellar, on floor 0, lists attic, on floor 1", "the row of cellar lists shed, which has none"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			imports, table := maps.Clone(sound), maps.Clone(rooms)
			maps.Copy(imports, test.packages)
			maps.Copy(table, test.rooms)
			packages := []pkg{{ImportPath: "fmt"}}
			for _, self := range slices.Sorted(maps.Keys(imports)) {
				p := pkg{ImportPath: module + "/" + self, XTestImports: []string{module + "/roof", module + "/probe"}}
				for _, path := range imports[self] {
					if _, ours := imports[path]; ours {
						path = module + "/" + path
					}
					p.Imports = append(p.Imports, path)
				}
				packages = append(packages, p)
			}
			if diff := cmp.Diff(test.want, problems(table, packages)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestLibraryProblemsAreFound(t *testing.T) {
	packages := []pkg{
		{ImportPath: "github.com/kolo/xmlrpc", Imports: []string{"github.com/anybody/anything"}},
		{
			ImportPath:   module + "/internal/cli",
			Imports:      []string{"github.com/spf13/cobra", "golang.org/x/sys/unix", module + "/runner"},
			TestImports:  []string{"github.com/google/go-cmp/cmp"},
			XTestImports: []string{"github.com/rogpeppe/go-internal/testscript"},
		},
		{
			ImportPath:  module + "/runner",
			Imports:     []string{"os", "github.com/spf13/cobra/doc", "github.com/google/go-cmp/cmp", "github.com/kolo/xmlrpc-more"},
			TestImports: []string{"github.com/shirou/gopsutil/v3/process"},
		},
	}
	want := []string{
		"runner imports github.com/spf13/cobra/doc, which only internal/cli, internal/docs, internal/host may",
		"runner imports github.com/google/go-cmp/cmp, which is for tests only",
		"runner imports github.com/kolo/xmlrpc-more of a module that is in no row of DESIGN.md §7",
		"runner imports github.com/shirou/gopsutil/v3/process, which only internal/proc may",
	}
	if diff := cmp.Diff(want, libraryProblems(packages)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestClosureTellsTheWay(t *testing.T) {
	packages := []pkg{
		{ImportPath: "a", Imports: []string{"b", "c"}},
		{ImportPath: "b", Imports: []string{"d"}},
		{ImportPath: "c", Imports: []string{"d"}},
		{ImportPath: "d"},
		{ImportPath: "e", Imports: []string{"a"}},
	}
	want := map[string][]string{"a": {"a"}, "b": {"a", "b"}, "c": {"a", "c"}, "d": {"a", "b", "d"}}
	if diff := cmp.Diff(want, closure(packages, "a")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := closure(packages, "f"); got != nil {
		t.Errorf("of what is not there: %v", got)
	}
}
