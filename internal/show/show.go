// Package show prints what the programs have found: as a table for people, as JSON
// and YAML for programs, as the line that Nagios and its kin read, and as the metrics that
// those read who run probers; once, or again and again. What others have written can do nothing to a terminal.
package show

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Formats, Judged and Looked are the words for --output: of all there is to show, of what is
// healthy or not besides, and of what was looked at just now.
var (
	Formats = []string{"table", "json", "yaml"}
	Judged  = append(Formats[:3:3], "nagios")
	Looked  = append(Judged[:4:4], probers...)
	probers = []string{"cloudprober", "studio"}
)

// Page is what is to be printed, for each format.
type Page struct {
	Table  Table
	Data   any    // for JSON and YAML
	Report Report // for the programs that want to know what is healthy
}

// Print writes the page in a format.
func (p *Page) Print(w io.Writer, format string, s Screen) error {
	var text string
	var err error
	switch format {
	case "table":
		text = p.Table.text(s)
	case "json":
		text, err = asJSON(p.Data, "  ")
	case "yaml":
		text, err = asYAML(p.Data)
	case "nagios":
		text = p.Report.text()
	case "cloudprober":
		text = p.Report.cloudprober()
	case "studio":
		text = p.Report.studio()
	default:
		err = fmt.Errorf("there is no format %q", format)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

// Screen is what a table is printed on. The zero value is no terminal: there is
// all the width that a line may need, and no colour.
type Screen struct {
	Width, Height int
	Colour        bool
	dumb          bool // its cursor cannot be moved
}

// The size of a terminal that does not say.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// ScreenOf returns what w is. For terminals COLUMNS and LINES beat what they say
// themselves, as everywhere, and NO_COLOR (https://no-color.org) is honoured.
func ScreenOf(w io.Writer) Screen {
	f, is := w.(*os.File)
	if !is {
		return Screen{}
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Screen{}
	}
	dumb := os.Getenv("TERM") == "dumb"
	return Screen{
		Width:  cmp.Or(numberIn("COLUMNS"), int(size.Col), defaultWidth),
		Height: cmp.Or(numberIn("LINES"), int(size.Row), defaultHeight),
		Colour: !dumb && os.Getenv("NO_COLOR") == "",
		dumb:   dumb,
	}
}

// numberIn returns the number in a variable, 0 if there is none.
func numberIn(variable string) int {
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// Styles of a terminal.
const (
	bold = "1"
	dim  = "2"
)

// colours are the styles of statuses.
var colours = map[string]string{"healthy": "32", "unhealthy": "31", "unknown": "33", "skipped": dim}

// styled returns text in a style, where there are any.
func (s Screen) styled(style, text string) string {
	if !s.Colour || style == "" || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}
