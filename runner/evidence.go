package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Defaults of Evidence.
const (
	DefaultEvidenceMax   = 20
	DefaultEvidencePause = 2 * time.Second
)

// Evidence is what is kept of a process before it is restarted: the failing
// result, the ends of its output, what /proc says of it, its threads,
// descriptors and children. None of that can prevent the restart.
type Evidence struct {
	// Keep has it told with the record of the restart. The others imply it.
	Keep bool

	// Dir is a folder for it, in a folder of its own for each restart. "" means
	// none.
	Dir string

	// Max is how many of them are kept, the newest; of cores, which are large, a
	// fifth of it. 0 means DefaultEvidenceMax.
	Max int

	// Signal, such as QUIT, is sent to the process, which may write its stacks to
	// its output then, as Go and Java programs do. "" means none.
	Signal string

	// Pause is the time that it is given for that. 0 means DefaultEvidencePause.
	Pause time.Duration

	// CoreDir is a folder for the memory of the process, taken with gcore of gdb,
	// which stops it meanwhile. "" means none.
	CoreDir string
}

const (
	// tailBytes is how much of an output is kept, and partBytes of anything else.
	tailBytes = 4 << 10
	partBytes = 64 << 10

	// tailTime, procTime, coreTime and writeTime bound the steps.
	tailTime  = 2 * time.Second
	procTime  = 2 * time.Second
	coreTime  = time.Minute
	writeTime = 10 * time.Second
)

func (e Evidence) wanted() bool {
	return e.Keep || e.Dir != "" || e.Signal != "" || e.CoreDir != ""
}

// takes is how long collecting it takes at most.
func (e Evidence) takes() time.Duration {
	return 2*tailTime + procTime + 2*coreTime + writeTime + cmp.Or(e.Pause, DefaultEvidencePause) + supervisor.DefaultTimeout
}

func (e Evidence) validate() error {
	switch {
	case e.Max < 0:
		return &PolicyError{"evidence-max", fmt.Errorf("%d is less than 0", e.Max)}
	case e.Pause < 0:
		return &PolicyError{"evidence-pause", fmt.Errorf("%v is less than 0", e.Pause)}
	case e.Signal != "" && !slices.Contains(signalNames, e.Signal):
		return &PolicyError{"evidence-signal", fmt.Errorf("signal %q is none of %s", e.Signal, strings.Join(signalNames, ", "))}
	}
	return nil
}

// prepare makes sure that it can be kept.
func (e Evidence) prepare() error {
	for _, folder := range []struct{ field, path string }{{"evidence-dir", e.Dir}, {"core-dir", e.CoreDir}} {
		if folder.path == "" {
			continue
		}
		if err := os.MkdirAll(folder.path, 0o700); err != nil {
			return &PolicyError{folder.field, err}
		}
		if err := unix.Access(folder.path, unix.W_OK|unix.X_OK); err != nil {
			return &PolicyError{folder.field, &os.PathError{Op: "write into", Path: folder.path, Err: err}}
		}
	}
	if e.CoreDir != "" {
		if _, err := exec.LookPath("gcore"); err != nil {
			return &PolicyError{"core-dir", errors.New("gcore, which writes cores, is not there: install gdb")}
		}
	}
	return nil
}

// collect keeps what there is to be seen of p.
func (r *runner) collect(ctx context.Context, p supervisor.Process, rec record.Record) {
	e := r.acted(p.Namespec()).policy.Evidence
	parts := map[string]string{"result": fmt.Sprintf("%s %s (pid %d): %s: %s\n", time.Now().UTC().Format(time.RFC3339), rec.Process, rec.PID, rec.Check, rec.Reason)}
	described := make(chan map[string]string, 1)
	go func() { described <- proc.Describe(p.PID) }() // which the kernel can hold up
	select {
	case facts := <-described:
		for name, text := range facts {
			parts[name] = cut(text, partBytes)
		}
	case <-time.After(procTime):
		parts["proc"] = fmt.Sprintf("not read within %v\n", procTime)
	case <-ctx.Done():
		return
	}
	if e.CoreDir != "" {
		parts["core"] = r.core(ctx, p)
	}
	if e.Signal != "" {
		if err := r.sameRun(ctx, p); err != nil {
			parts["signal"] = fmt.Sprintf("not sent signal %s: %v\n", e.Signal, err)
		} else if err := r.client.Signal(ctx, rec.Process, e.Signal); err != nil {
			parts["signal"] = fmt.Sprintf("not sent signal %s: %v\n", e.Signal, err)
		} else {
			parts["signal"] = fmt.Sprintf("sent signal %s\n", e.Signal)
			select {
			case <-time.After(cmp.Or(e.Pause, DefaultEvidencePause)):
			case <-ctx.Done():
			}
		}
	}
	for output, name := range map[supervisor.Output]string{supervisor.Stdout: "stdout", supervisor.Stderr: "stderr"} {
		limited, cancel := context.WithTimeout(ctx, tailTime)
		text, err := r.client.Tail(limited, rec.Process, output, tailBytes)
		cancel()
		if err != nil {
			text = fmt.Sprintf("not read: %v\n", err)
		}
		parts[name] = text
	}
	kept := &record.Evidence{Parts: parts}
	if e.Dir != "" {
		folder, err := within(writeTime, func() (string, error) { return e.write(p, parts) })
		if err != nil {
			r.happens("evidence", fmt.Errorf("keep the evidence of %s: %w", rec.Process, err))
		} else {
			kept.Folder = folder
			r.ended("evidence")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence[rec.Process] = kept
}

// sameRun returns an error if p is no longer the run that a process is in.
func (r *runner) sameRun(ctx context.Context, p supervisor.Process) error {
	now, err := r.client.Process(ctx, p.Namespec())
	switch {
	case supervisor.IsGone(err):
		return &supervisor.ChangedError{}
	case err != nil:
		return err
	case !now.SameRun(p):
		return &supervisor.ChangedError{Now: now}
	}
	return nil
}

// within returns what do returns, unless that takes too long: then it is left
// behind.
func within[T any](limit time.Duration, do func() (T, error)) (result T, err error) {
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := do()
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-time.After(limit):
		return result, fmt.Errorf("it has taken longer than %v", limit)
	}
}

// cut shortens a text.
func cut(text string, most int) string {
	if len(text) > most {
		return fmt.Sprintf("%s\n(%d more bytes)\n", strings.ToValidUTF8(text[:most], "\uFFFD"), len(text)-most)
	}
	return text
}

// entryName is the name for what is kept of p: it sorts by time.
func entryName(p supervisor.Process) string {
	const enough = 80
	name := url.QueryEscape(p.Namespec()) // which has no slash
	return fmt.Sprintf("%s-%d-%s", time.Now().UTC().Format("20060102T150405.000"), p.PID, name[:min(len(name), enough)])
}

// entries match what entryName makes.
const entries = "[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9].[0-9][0-9][0-9]-*"

// write makes files of the parts, and removes older ones.
func (e Evidence) write(p supervisor.Process, parts map[string]string) (folder string, err error) {
	folder = filepath.Join(e.Dir, entryName(p))
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	for name, text := range parts {
		if err := os.WriteFile(filepath.Join(folder, name+".txt"), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return folder, prune(e.Dir, filepath.Base(folder), cmp.Or(e.Max, DefaultEvidenceMax))
}

// prune removes all but so many entries of a folder: the newest by their names, and
// the one that has just been written, for the clock may have been set back.
func prune(dir, newest string, most int) error {
	all, err := filepath.Glob(filepath.Join(escapeGlob(dir), entries))
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(path string) bool { return strings.HasPrefix(filepath.Base(path), newest) })
	slices.Sort(all)
	for _, old := range all[:max(0, len(all)+1-most)] {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	return nil
}

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func escapeGlob(path string) string { return globEscaper.Replace(path) }

// core writes the memory of p to a file, and says in words what came of it.
func (r *runner) core(ctx context.Context, p supervisor.Process) string {
	e := r.acted(p.Namespec()).policy.Evidence
	path := filepath.Join(e.CoreDir, entryName(p))
	output, err := command.Command{Args: []string{"gcore", "-o", path, fmt.Sprint(p.PID)}, Timeout: coreTime}.Run(ctx)
	written := fmt.Sprintf("%s.%d", path, p.PID)
	if err == nil {
		_, err = within(coreTime, func() (struct{}, error) {
			if err := os.Chmod(written, 0o600); err != nil { // it has all that the process knows
				return struct{}{}, err
			}
			return struct{}{}, prune(e.CoreDir, filepath.Base(written), max(1, cmp.Or(e.Max, DefaultEvidenceMax)/5))
		})
	}
	if err != nil {
		return fmt.Sprintf("%v\n%s", err, output.Stdout)
	}
	return written + "\n"
}
