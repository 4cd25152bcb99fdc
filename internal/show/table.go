package show

import (
	"cmp"
	"math"
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// Table is rows of columns, with lines of text between them. On a terminal it is
// as wide as that at most: the last column, which tells why, is wrapped, or put
// below its row where too little is left beside it. Elsewhere a row is a line.
type Table struct {
	Head   []string
	Indent int // of rows
	Status int // the column whose words are coloured
	lines  []line
}

// line is a row, or else text with a name before it.
type line struct {
	cells  []string
	indent int
	name   string
	text   string
}

// Row adds a row with a cell for each column.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = foreign.Line(cell, 0)
		if i < len(cells)-1 {
			row[i] = cmp.Or(row[i], "-")
		}
	}
	t.lines = append(t.lines, line{cells: row})
}

// Title adds a line about what has a name.
func (t *Table) Title(name, text string) {
	t.lines = append(t.lines, line{name: foreign.Line(name, 0), text: foreign.Line(text, 0)})
}

// Text adds lines of text.
func (t *Table) Text(indent int, texts ...string) {
	for _, text := range texts {
		t.lines = append(t.lines, line{indent: indent, text: foreign.Line(text, 0)})
	}
}

const (
	gap      = 2  // between columns
	hang     = 4  // how far what goes on below is indented
	readable = 30 // so wide must a column be to be worth reading
	narrow   = 8  // no column is narrowed beyond this
)

func (t *Table) text(s Screen) string {
	p := printer{Table: t, Screen: s, last: len(t.Head) - 1}
	if len(t.Head) > 0 {
		p.measure()
		p.row(t.Head, dim)
	}
	for _, l := range t.lines {
		if l.cells != nil {
			p.row(l.cells, "")
			continue
		}
		p.paragraph(l)
	}
	return p.out.String()
}

// printer prints a Table.
type printer struct {
	*Table
	Screen
	out    strings.Builder
	last   int   // column
	widths []int // of the columns before it
	room   int   // what is left for it
}

// measure finds how wide the columns are.
func (p *printer) measure() {
	rows := [][]string{p.Head}
	for _, l := range p.lines {
		if l.cells != nil {
			rows = append(rows, l.cells)
		}
	}
	// widest is that of a column's cells that are no wider than most.
	widest := func(column, most int) int {
		w := 0
		for _, row := range rows {
			if cell := columns(row[column]); cell <= most {
				w = max(w, cell)
			}
		}
		return w
	}
	left := p.Indent
	for i := range p.last {
		p.widths = append(p.widths, widest(i, math.MaxInt))
		left += p.widths[i] + gap
	}
	p.room = math.MaxInt
	if p.Width == 0 {
		return
	}
	if p.last > 0 && left+widest(p.last, math.MaxInt) > p.Width {
		left -= p.widths[0]
		p.widths[0] = widest(0, max(columns(p.Head[0]), min(p.Width*2/5, p.Width-left)))
		left += p.widths[0]
	}
	p.room = p.Width - left
}

// row prints the cells of a row. A first one that is too wide for its column
// has lines of its own above the others.
func (p *printer) row(cells []string, style string) {
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", p.Indent))
	for i, w := range p.widths {
		cell := cells[i]
		if i == 0 && columns(cell) > w {
			for _, part := range wrap(cell, p.Width-p.Indent) {
				p.line(strings.Repeat(" ", p.Indent) + part)
			}
			cell = ""
		}
		cellStyle := style
		if i == p.Status {
			cellStyle = cmp.Or(style, colours[cell])
		}
		b.WriteString(p.styled(cellStyle, cell) + strings.Repeat(" ", w-columns(cell)+gap))
	}
	why := cells[p.last]
	switch begun := b.String(); {
	case why == "", columns(why) <= p.room:
		p.line(begun + p.styled(style, why))
	case p.room >= readable:
		for _, part := range wrap(why, p.room) {
			p.line(begun + part)
			begun = strings.Repeat(" ", p.Width-p.room)
		}
	default:
		p.line(begun)
		if style == "" { // no heading
			p.below(p.Indent+hang, why)
		}
	}
}

// paragraph prints text that belongs to no column.
func (p *printer) paragraph(l line) {
	first, rest, indent := strings.TrimLeft(l.name+strings.Repeat(" ", gap)+l.text, " "), "", strings.Repeat(" ", l.indent)
	if p.Width > 0 {
		parts := wrap(first, p.Width-l.indent)
		rest = strings.TrimLeft(strings.TrimPrefix(first, parts[0]), " ")
		first = parts[0]
	}
	if after, is := strings.CutPrefix(first, l.name); is {
		first = p.styled(bold, l.name) + after
	}
	p.line(indent + first)
	if rest != "" {
		p.below(l.indent+hang, rest)
	}
}

// below prints what goes on below.
func (p *printer) below(indent int, text string) {
	for _, part := range wrap(text, p.Width-indent) {
		p.line(strings.Repeat(" ", indent) + part)
	}
}

func (p *printer) line(text string) { p.out.WriteString(strings.TrimRight(text, " ") + "\n") }

// wrap returns text in lines of at most so many columns, broken at spaces, and
// within words that are longer than that.
func wrap(text string, most int) []string {
	most = max(most, narrow)
	var lines []string
	for {
		end, space, used := len(text), -1, 0
		for i, r := range text {
			if used += runeColumns(r); used > most {
				end = i
				break
			}
			if r == ' ' {
				space = i
			}
		}
		switch {
		case end == len(text):
			return append(lines, text)
		case text[end] != ' ' && space > 0:
			if word, _, _ := strings.Cut(text[space+1:], " "); columns(word) <= most {
				end = space
			}
		}
		lines = append(lines, strings.TrimRight(text[:end], " "))
		text = strings.TrimLeft(text[end:], " ")
	}
}

// columns returns how wide text is on a terminal.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

// runeColumns returns how wide a printable rune is. What combines with the one
// before it takes no place, nor do the vowels and finals of Hangul; wide letters
// of East Asia and pictures take two.
func runeColumns(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) || r >= 0x1160 && r <= 0x11ff {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
