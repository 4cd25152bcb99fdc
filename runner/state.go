package runner

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// saved is what outlives a listener: what it counts, and what it was told by
// hand.
type saved struct {
	Supervisord string                  `json:"supervisord"` // which run of it the processes were of
	Processes   map[string]savedProcess `json:"processes"`
	Pauses      []pause                 `json:"pauses"`
}

type savedProcess struct {
	Acts    []time.Time `json:"restarts,omitempty"` // as far as RestartLimit counts them
	Level   int         `json:"backoff,omitempty"`  // how many the Backoff counts
	LastAct time.Time   `json:"last,omitzero"`
	Stopped bool        `json:"stopped,omitempty"` // by us, for good
	Owed    bool        `json:"owed,omitempty"`    // the hook after its restart is still to be run
}

// savedSuffix ends in the version of the format. A newer version has another end.
const savedSuffix = ".counters.v1.json"

// ownName is what tells this listener from others under the same supervisord.
// supervisord tells which that is, but for the Go one: then it is the name that it
// was given, and what it watches, since names are copied.
func (r *runner) ownName() string {
	if r.self != "" {
		return r.self
	}
	text := r.plans().String()
	for _, name := range r.plans().names() {
		text += "\x00" + name
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%s-%x", cmp.Or(r.Name, "listener"), sum[:4])
}

// save writes down what must outlive this listener, where there is any. The lock
// is held.
func (r *runner) save() {
	if r.restarter == nil || r.DryRun { // what a dry run counts has not happened
		return
	}
	state := saved{Supervisord: r.restarter.Incarnation(), Processes: make(map[string]savedProcess), Pauses: r.engine.pauses}
	for namespec, s := range r.engine.subjects {
		p := savedProcess{Acts: s.acts, Level: s.level, LastAct: s.lastAct, Stopped: s.stopped, Owed: s.owed}
		if len(p.Acts) > 0 || p.Level > 0 || p.Stopped || p.Owed {
			state.Processes[namespec] = p
		}
	}
	if len(state.Processes) == 0 && len(state.Pauses) == 0 && !r.saved {
		return
	}
	err := writeState(r.restarter.File(r.ownName(), savedSuffix), state)
	if err != nil {
		if tell, _ := r.recur("counters", err.Error()); tell {
			r.Log.Error(fmt.Sprintf("limits and pauses cannot be written down, and begin anew if this listener is restarted: %v", err))
		}
		return
	}
	r.saved = true
	delete(r.trouble, "counters")
}

// writeState puts a file in its place, whole or not at all.
func writeState(path string, state saved) error {
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		os.Remove(path + ".new")
		return err
	}
	return os.Rename(path+".new", path)
}

// load takes in what an earlier listener of this name has written down.
func (r *runner) load() {
	path := r.restarter.File(r.ownName(), savedSuffix)
	all, _ := os.ReadDir(filepath.Dir(path))
	begin := strings.TrimSuffix(filepath.Base(path), "1.json")
	for _, entry := range all {
		if strings.HasPrefix(entry.Name(), begin) && strings.HasSuffix(entry.Name(), ".json") && entry.Name() != filepath.Base(path) {
			r.Log.Warn(fmt.Sprintf("%s is of another version; the limits and pauses in it are left to that", filepath.Join(filepath.Dir(path), entry.Name())))
		}
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var state saved
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err != nil {
		r.Log.Error(fmt.Sprintf("limits and pauses begin anew, since they cannot be read: %s: %v", path, err))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saved = true
	now := time.Now()
	for namespec, p := range state.Processes {
		if state.Supervisord != "" && state.Supervisord != r.restarter.Incarnation() { // all of them have been started anew, or not
			p.Stopped, p.Owed = false, false
		}
		s := r.engine.known(namespec)
		s.process.Group, s.process.Name = supervisor.SplitNamespec(namespec)
		if p.Owed && r.verifies(namespec) {
			s.acting = true // until that is concluded
			r.inherited = append(r.inherited, namespec)
		}
		s.level, s.stopped, s.owed, s.lastAct = p.Level, p.Stopped, p.Owed, earlier(p.LastAct, now)
		for _, at := range p.Acts {
			s.acts = append(s.acts, earlier(at, now))
		}
	}
	for _, p := range state.Pauses {
		if p.From.After(now) { // the clock was set back: it lasts as long as was asked for
			p.From, p.Until = now, now.Add(p.Until.Sub(p.From))
		}
		if now.Before(p.Until) {
			r.engine.pauses = append(r.engine.pauses, p)
			r.Log.Warn(fmt.Sprintf("actions on %s are paused until %s", p.Selector, clock(p.Until)))
		}
	}
}

// earlier returns the earlier one of two times: the clock may have been set back.
func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}
