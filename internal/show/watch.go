package show

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// ErrEnded is the error of Watch when it ended before it had seen anything.
var ErrEnded = errors.New("ended before the first look was over")

// Watching is what Watch does.
type Watching struct {
	Title    string
	Every    time.Duration // from the end of one look to the begin of the next
	Format   string
	Out, Err io.Writer

	// Look returns what there is to be seen, nil for nothing, and what is to be said
	// besides.
	Look func(context.Context) (*Page, error)
}

// Watch looks and shows what there is, again and again until ctx is done, and
// returns the error of the last whole look. A table on a terminal stays in its
// place, and what was seen last is left behind; elsewhere each look is appended:
// tables under a heading, JSON as a line, YAML as a document.
func Watch(ctx context.Context, w Watching) error {
	show := w.add
	resized := make(chan os.Signal, 1)
	last := look{err: ErrEnded}
	if s := ScreenOf(w.Out); w.Format == "table" && s.Width > 0 && !s.dumb {
		signal.Notify(resized, unix.SIGWINCH)
		defer signal.Stop(resized)
		io.WriteString(w.Out, enter)
		defer func() {
			io.WriteString(w.Out, leave)
			if last.err != ErrEnded {
				io.WriteString(w.Out, last.text(ScreenOf(w.Out)))
			}
		}()
		show = w.draw
		show(look{err: errors.New("looking …"), at: time.Now()})
	}
	for {
		page, err := w.Look(ctx)
		if ctx.Err() != nil { // it was cut short
			return last.err
		}
		last = look{page, err, time.Now()}
		if err := show(last); err != nil {
			return err
		}
		next := time.After(w.Every)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return last.err
			case <-resized:
				show(last)
			case <-next:
				waiting = false
			}
		}
	}
}

// look is what one look has seen.
type look struct {
	page *Page
	err  error
	at   time.Time
}

// text is the table, with the error below.
func (l look) text(s Screen) string {
	text := ""
	if l.page != nil {
		text = l.page.Table.text(s)
	}
	if l.err != nil && l.err.Error() != "" {
		var t Table
		t.Text(0, l.err.Error())
		text += t.text(s)
	}
	return text
}

func (w *Watching) heading(at time.Time) string {
	return fmt.Sprintf("%s  %s, every %v", at.UTC().Format(time.RFC3339), foreign.Line(w.Title, 0), w.Every)
}

// add appends what was seen.
func (w *Watching) add(l look) error {
	var text strings.Builder
	var err error
	switch {
	case w.Format == "table":
		text.WriteString(w.heading(l.at) + "\n" + l.text(ScreenOf(w.Out)) + "\n")
	case l.page == nil:
	case w.Format == "json":
		var line string
		line, err = asJSON(l.page.Data, "")
		text.WriteString(line)
	default:
		text.WriteString("---\n")
		err = l.page.Print(&text, w.Format, Screen{})
	}
	if err != nil {
		return err
	}
	if w.Format != "table" && l.err != nil && l.err.Error() != "" {
		fmt.Fprintf(w.Err, "%s\n", foreign.Line(l.err.Error(), 0))
	}
	_, err = io.WriteString(w.Out, text.String())
	return err
}

// What a terminal is told: to take its other screen, without a cursor, on which
// what is too long is cut; and to be again what it was.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// draw puts what was seen over what is on the terminal, in one go so that nothing
// flickers. Each line is cleared before it is written: behind one that is as wide
// as the terminal that would take its last column.
func (w *Watching) draw(l look) error {
	s := ScreenOf(w.Out)
	lines := strings.Split(strings.TrimSuffix(l.text(s), "\n"), "\n")
	if room := max(s.Height-1, 2); len(lines) > room {
		lines = append(lines[:room-1], fmt.Sprintf("… %d more lines", len(lines)-room+1))
	}
	text := "\x1b[H\x1b[2K" + s.styled(dim, w.heading(l.at))
	for _, line := range lines[:len(lines)-1] {
		text += "\n\x1b[K" + line
	}
	_, err := io.WriteString(w.Out, text+"\n\x1b[J"+lines[len(lines)-1])
	return err
}
