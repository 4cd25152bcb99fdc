package health

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Path is where a Handler is usually mounted.
const Path = "/_health"

// Answer is what a Handler says, in JSON: what clients of go-philae's handler read, and
// more.
type Answer struct {
	Healthy  bool          `json:"healthy"`
	Status   Status        `json:"status"` // the worst
	Probes   []ProbeAnswer `json:"probes"`
	Checks   []CheckAnswer `json:"checks,omitempty"` // of supervised processes
	Error    *string       `json:"error"`            // all that is wrong, in one line; null for nothing
	Duration time.Duration `json:"duration"`         // in nanoseconds, what the answer took
}

// ProbeAnswer is how one probe is.
type ProbeAnswer struct {
	Name     string        `json:"name"`
	Healthy  bool          `json:"healthy"`
	Status   Status        `json:"status"`
	Comment  string        `json:"comment"`               // "took 1.104689ms"
	Error    *string       `json:"error"`                 // null when it is healthy
	Duration time.Duration `json:"duration"`              // in nanoseconds, what the look took
	Age      *float64      `json:"age_seconds,omitempty"` // of the look; absent when there was none
}

// CheckAnswer is how a supervised process is by one check.
type CheckAnswer struct {
	Process string `json:"process"`
	ProbeAnswer
}

// Handler answers GET and HEAD with how all sources are, with status 200 when all is
// healthy and 503 when anything is not, and at PATH/NAME with how that probe or process is. It fits
// any router: mount it at "/_health" and "/_health/".
func Handler(sources ...Source) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are of use here", http.StatusMethodNotAllowed)
			return
		}
		begun := time.Now()
		_, name, mounted := strings.Cut(r.URL.Path, Path)
		if !mounted {
			name = r.URL.Path // somebody has stripped the prefix
		}
		if name = strings.Trim(name, "/"); name != "" {
			one(w, r, sources, name)
			return
		}
		results := gather(r.Context(), sources)
		answer := answerOf(results, time.Now())
		answer.Duration = time.Since(begun)
		send(w, r, answer.Healthy, answer)
	})
}

// gather asks all sources at once.
func gather(ctx context.Context, sources []Source) (all []Result) {
	if len(sources) == 1 {
		return sources[0].Check(ctx)
	}
	each := make([]chan []Result, len(sources))
	for i, s := range sources {
		each[i] = make(chan []Result, 1)
		go func() { each[i] <- s.Check(ctx) }()
	}
	for _, c := range each {
		all = append(all, <-c...)
	}
	return all
}

// one answers how the probe of a name is, or the process whose namespec it is.
func one(w http.ResponseWriter, r *http.Request, sources []Source, name string) {
	begun := time.Now()
	for _, s := range sources {
		found := only(r.Context(), s, name)
		switch {
		case len(found) == 0:
		case found[0].Process == "":
			a := probeAnswer(found[0], time.Now())
			send(w, r, a.Healthy, a)
			return
		default:
			a := answerOf(found, time.Now())
			a.Duration = time.Since(begun)
			send(w, r, a.Healthy, a)
			return
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "there is no probe of that name, and no process that should run", http.StatusNotFound)
}

// only returns what a source knows of a name.
func only(ctx context.Context, s Source, name string) (found []Result) {
	if p, is := s.(interface {
		CheckOne(context.Context, string) (Result, bool)
	}); is {
		if r, is := p.CheckOne(ctx, name); is {
			found = append(found, r)
		}
		return found
	}
	for _, r := range s.Check(ctx) {
		if cmp.Or(r.Process, r.Name) == name {
			found = append(found, r)
		}
	}
	return found
}

// answerOf puts results into words.
func answerOf(results []Result, now time.Time) Answer {
	status := Worst(results)
	a := Answer{Healthy: status == Healthy, Status: status, Probes: []ProbeAnswer{}}
	var wrong []string
	for _, r := range results {
		p := probeAnswer(r, now)
		what := r.Name
		if r.Process == "" {
			a.Probes = append(a.Probes, p)
		} else {
			a.Checks = append(a.Checks, CheckAnswer{r.Process, p})
			what = r.Process + " " + r.Name
		}
		if p.Error != nil {
			wrong = append(wrong, what+": "+*p.Error)
		}
	}
	if wrong != nil {
		text := strings.Join(wrong, "; ")
		a.Error = &text
	}
	return a
}

func probeAnswer(r Result, now time.Time) ProbeAnswer {
	a := ProbeAnswer{Name: r.Name, Healthy: r.Status == Healthy, Status: r.Status, Duration: r.Took}
	if !r.At.IsZero() {
		age := max(0, now.Sub(r.At).Seconds())
		a.Comment, a.Age = "took "+r.Took.String(), &age
	}
	if r.Status != Healthy {
		text := string(r.Status)
		if r.Err != nil {
			text = r.Err.Error()
		}
		a.Error = &text
	}
	return a
}

// send sends an answer, which must not be kept by anybody.
func send(w http.ResponseWriter, r *http.Request, healthy bool, answer any) {
	text, err := json.Marshal(answer)
	if err != nil { // there is nothing in it that JSON cannot say
		http.Error(w, "it cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.Method != http.MethodHead {
		w.Write(append(text, '\n')) // who has gone away is told nothing
	}
}
