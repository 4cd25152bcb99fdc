package health

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
)

// DefaultLookTime is how often a Gate looks at its folder, and at its sources where they
// tell nothing, when GateConfig.LookTime is 0.
const DefaultLookTime = time.Second

// staleLooks is after how many of them without another look a Gate is shut.
const staleLooks = 5

// GateConfig configures a Gate. The texts are those of DeadPool where they say nothing
// else; {name} in them stands for Name, or for what is dead.
type GateConfig struct {
	// Sources are what must be healthy. Probes need a Period, and their Prober must
	// run.
	Sources []Source

	// Folder, if not "", is where .dead files are: see Gate.
	Folder string

	// Owner tells the files of this gate from those of others in the same folder. "" means
	// Name. It should be the same after a restart.
	Owner string

	// ReadOnly has the gate write no file, and remove none.
	ReadOnly bool

	// Name is that of the server. "" means that of the host.
	Name string

	// Token is what those who ask must show. nil lets anybody ask.
	Token *Token

	DeniedStatus int    // of who shows none; 0 means 511
	DeniedText   string // "" means "Auth ERR"
	DeadStatus   int    // 0 means 503
	OpenStatus   int    // 0 means 200
	Head         string // the first line of other answers; "" means "Server: {name} reports:\n"
	DeadText     string // a line for each that is dead; "" means "The {name} is DEAD!\n"
	OpenText     string // "" means "OK"

	// LookTime is how often the folder is looked at. 0 means DefaultLookTime.
	LookTime time.Duration

	// Trouble, if not nil, is called when the folder cannot be read or written, again when
	// that changes and each hour, and with nil when it is over.
	Trouble func(error)

	// Now is the clock. nil means time.Now.
	Now func() time.Time
}

// Gate answers load balancers: with OpenStatus only while all of its sources are healthy
// by what was found just now, and no .dead file is in its folder. It is shut before the
// first result, when results are stale, and when the folder cannot be read.
//
// NAME.dead in the folder takes the host out of rotation, whoever made it and whatever is
// in it. The gate itself writes one for each that is not healthy, whole or not at all,
// for others to read; it removes only those that it has written, and only when what they
// are about is healthy again, or is no longer known.
type Gate struct {
	cfg    GateConfig
	denied *state
	shut   *state
	now    atomic.Pointer[state]
	files  deadFiles
	fault  recurring.Trouble // of the folder
}

// state is an answer and until when it is true.
type state struct {
	status int
	text   []byte
	until  time.Time
}

// NewGate returns a gate, which is shut until Run has looked.
func NewGate(cfg GateConfig) (*Gate, error) {
	if len(cfg.Sources) == 0 && cfg.Folder == "" {
		return nil, errors.New("a gate needs something that can shut it: a source or a folder")
	}
	host, _ := os.Hostname()
	cfg.Name = cmp.Or(cfg.Name, host)
	cfg.DeniedStatus, cfg.DeniedText = cmp.Or(cfg.DeniedStatus, http.StatusNetworkAuthenticationRequired), cmp.Or(cfg.DeniedText, "Auth ERR")
	cfg.DeadStatus, cfg.OpenStatus = cmp.Or(cfg.DeadStatus, http.StatusServiceUnavailable), cmp.Or(cfg.OpenStatus, http.StatusOK)
	cfg.Head = strings.ReplaceAll(cmp.Or(cfg.Head, "Server: {name} reports:\n"), "{name}", cfg.Name)
	cfg.DeadText, cfg.OpenText = cmp.Or(cfg.DeadText, "The {name} is DEAD!\n"), cmp.Or(cfg.OpenText, "OK")
	cfg.LookTime = cmp.Or(cfg.LookTime, DefaultLookTime)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Trouble == nil {
		cfg.Trouble = func(error) {}
	}
	g := &Gate{cfg: cfg, files: deadFiles{folder: cfg.Folder, owner: cmp.Or(cfg.Owner, cfg.Name), readOnly: cfg.ReadOnly}}
	g.denied = &state{status: cfg.DeniedStatus, text: []byte(cfg.DeniedText)}
	g.shut = &state{status: cfg.DeadStatus, text: []byte(cfg.Head + strings.ReplaceAll(cfg.DeadText, "{name}", "check of this server"))}
	return g, nil
}

// ServeHTTP answers.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := g.now.Load()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are of use here", http.StatusMethodNotAllowed)
		return
	case !g.cfg.Token.shown(r):
		s = g.denied
		if s.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
	case s == nil || g.cfg.Now().After(s.until):
		s = g.shut
	}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = plainText, noStore
	w.WriteHeader(s.status)
	if r.Method != http.MethodHead {
		w.Write(s.text) // who has gone away is told nothing
	}
}

var (
	plainText = []string{"text/plain; charset=utf-8"}
	noStore   = []string{"no-store"}
)

// Run keeps the answer true until ctx is done, and then shuts the gate.
func (g *Gate) Run(ctx context.Context) {
	news := make(chan struct{}, 1)
	for _, s := range g.cfg.Sources {
		if teller, is := s.(interface{ Tell(chan<- struct{}) }); is {
			teller.Tell(news)
		}
	}
	timer := time.NewTicker(g.cfg.LookTime)
	defer timer.Stop()
	defer g.now.Store(nil)
	for {
		g.look(ctx)
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// look finds the answer.
func (g *Gate) look(ctx context.Context) {
	now := g.cfg.Now()
	until := now.Add(staleLooks * g.cfg.LookTime)
	var dead []string
	reasons := make(map[string]string) // by the names of what is dead
	var healthy, skipped []string
	mayCome := false // results of what there are none of yet
	for _, r := range gather(ctx, g.cfg.Sources) {
		name := r.Name
		if r.Process != "" {
			name = r.Process + "." + r.Name
		}
		if !r.Until.IsZero() && r.Until.Before(until) {
			until = r.Until
		}
		if r.Status == Healthy {
			healthy = append(healthy, name)
			continue
		}
		if r.Status == Skipped {
			skipped = append(skipped, name)
			continue
		}
		mayCome = mayCome || r.Status == Unknown
		dead = append(dead, name)
		reasons[name] = string(r.Status)
		if r.Err != nil {
			reasons[name] = r.Err.Error()
		}
	}
	if healthy == nil && dead == nil { // nobody has looked at anything
		dead = skipped
	}
	if g.cfg.Folder != "" {
		others, err := g.files.sync(reasons, healthy, mayCome)
		dead = append(dead, others...)
		if err != nil && others == nil {
			dead = append(dead, "folder of .dead files")
		}
		if err == nil {
			if g.fault.Ends() {
				g.cfg.Trouble(nil)
			}
		} else if tell, _ := g.fault.Happens(now, err.Error()); tell {
			g.cfg.Trouble(err)
		}
	}
	s := &state{status: g.cfg.OpenStatus, text: []byte(g.cfg.Head + g.cfg.OpenText), until: until}
	if dead != nil {
		text := g.cfg.Head
		for _, name := range dead {
			text += strings.ReplaceAll(g.cfg.DeadText, "{name}", name)
		}
		s.status, s.text = g.cfg.DeadStatus, []byte(text)
	}
	g.now.Store(s)
}
