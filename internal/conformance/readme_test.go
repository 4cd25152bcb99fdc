package conformance

import (
	"os"
	"strings"
	"testing"
)

// notShown are rows of the README's table that no case shows, with the reason.
var notShown = map[string]string{
	"the texts of the log": "every case reads both",
	"a heartbeat file that is a symlink, or somebody else's, is judged":   "supervisor_checks 0.8.1 as released has no supervisor_file_check",
	"with `-x` a process is restarted before its first heartbeat":         "supervisor_checks 0.8.1 as released has no supervisor_file_check",
	"a socket that the check may not open restarts the process each tick": "the cases are run as root, who may open any",
	"a child that ends while memory is added up ends the check":           "it has to end between two system calls of the program",
}

// rows returns the cells of the README's table of differences.
func rows(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n| before | now | why |\n|---|---|---|\n")
	if !found {
		t.Fatal("the README has no table of differences any more")
	}
	var rows [][]string
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			break
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "|"), "|") {
			cells = append(cells, strings.TrimSpace(strings.ReplaceAll(cell, "\x00", `\|`)))
		}
		rows = append(rows, cells)
	}
	return rows
}

// TestEveryDifferenceIsListedWithItsReason holds the README's table against the
// cases, both ways.
func TestEveryDifferenceIsListedWithItsReason(t *testing.T) {
	listed, shown := make(map[string]bool), make(map[string]bool)
	for _, row := range rows(t) {
		if len(row) != 3 || row[0] == "" || row[1] == "" || row[2] == "" {
			t.Errorf("the README says of a difference not all of before, now and why: %q", row)
			continue
		}
		listed[row[0]] = true
	}
	for _, c := range table {
		if c.differs == "" {
			continue
		}
		shown[c.differs] = true
		if !listed[c.differs] {
			t.Errorf("the README does not list what %s/%s shows: %s", c.program, c.name, c.differs)
		}
	}
	for row := range notShown {
		switch {
		case !listed[row]:
			t.Errorf("the README does not list any more: %s", row)
		case shown[row]:
			t.Errorf("there is a case for: %s", row)
		}
	}
	for row := range listed {
		if !shown[row] && notShown[row] == "" {
			t.Errorf("no case shows this row of the README: %s", row)
		}
	}
}

func TestTableIsSound(t *testing.T) {
	const least = 150
	if len(table) < least {
		t.Errorf("the table has %d cases, want at least %d", len(table), least)
	}
	names := make(map[string]bool)
	for _, c := range table {
		name := c.program + "/" + c.name
		if names[name] {
			t.Errorf("there are two cases %s", name)
		}
		names[name] = true
		none := expectation{}
		if c.differs == "" && (c.want == none || c.python != none || c.ours != none) {
			t.Errorf("%s must say what it wants, of both programs", name)
		}
		if c.differs != "" && (c.want != none || c.python == none || c.ours == none) {
			t.Errorf("%s must say what it wants of each program", name)
		}
	}
}
