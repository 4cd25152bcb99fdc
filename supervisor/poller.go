package supervisor

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// pollMin and pollMax bound the pause between two looks at supervisord. It
	// is eight times as long as the look before took, within these, so that
	// looking takes no more than a ninth of supervisord's time: a snapshot of
	// 500 processes costs it 0.15 s, in which it starts and stops nothing.
	pollMin = 100 * time.Millisecond
	pollMax = time.Second

	// pollFirst is the pause before the first look.
	pollFirst = 5 * time.Millisecond

	// pollSingly is up to how many processes are asked for one by one. Beyond
	// it one snapshot of all is cheaper.
	pollSingly = 4
)

// poller looks at processes for all restarts in progress at once.
type poller struct {
	client *Client

	mu      sync.Mutex
	waiting map[string][]chan<- sight
	running bool          // run is
	nobody  chan struct{} // wakes run when nobody waits any more; holds one
	next    time.Time     // the earliest time of the next look
}

func newPoller(client *Client) *poller {
	return &poller{client: client, waiting: make(map[string][]chan<- sight), nobody: make(chan struct{}, 1)}
}

// sight is what a look saw of one process.
type sight struct {
	process Process
	err     error
}

// look returns what supervisord says of a process at a time after the call.
func (p *poller) look(ctx context.Context, namespec string) (Process, error) {
	seen := make(chan sight, 1)
	p.mu.Lock()
	p.waiting[namespec] = append(p.waiting[namespec], seen)
	if !p.running {
		p.running = true
		go p.run()
	}
	p.mu.Unlock()
	select {
	case s := <-seen:
		return s.process, s.err
	case <-ctx.Done():
		p.leave(namespec, seen)
		return Process{}, context.Cause(ctx)
	}
}

// leave takes back a look that nobody waits for any more.
func (p *poller) leave(namespec string, seen chan<- sight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := slices.DeleteFunc(p.waiting[namespec], func(c chan<- sight) bool { return c == seen })
	if len(rest) > 0 {
		p.waiting[namespec] = rest
		return
	}
	delete(p.waiting, namespec)
	if len(p.waiting) == 0 {
		select {
		case p.nobody <- struct{}{}:
		default:
		}
	}
}

// run looks until nobody waits any more.
func (p *poller) run() {
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.running = false
			p.mu.Unlock()
			return
		}
		pause := time.NewTimer(max(pollFirst, time.Until(p.next)))
		p.mu.Unlock()
		select {
		case <-pause.C:
		case <-p.nobody:
			pause.Stop()
			continue
		}
		p.mu.Lock()
		waiting := p.waiting
		p.waiting = make(map[string][]chan<- sight)
		p.mu.Unlock()

		begin := time.Now()
		p.see(waiting)
		p.mu.Lock()
		p.next = time.Now().Add(min(max(8*time.Since(begin), pollMin), pollMax))
		p.mu.Unlock()
	}
}

// see looks, and hands out each answer as soon as it is there: what supervisord says of
// one process must not grow old while it is asked for the next.
func (p *poller) see(waiting map[string][]chan<- sight) {
	ctx := context.Background() // each call has its own time limit
	tell := func(namespec string, process Process, err error) {
		for _, waiter := range waiting[namespec] {
			waiter <- sight{process, err}
		}
		delete(waiting, namespec)
	}
	if len(waiting) > pollSingly {
		processes, err := p.client.Processes(ctx)
		for _, process := range processes {
			tell(process.Namespec(), process, nil)
		}
		if err != nil {
			for namespec := range waiting {
				tell(namespec, Process{}, err)
			}
		}
	}
	for namespec := range waiting { // in a snapshot, those that are gone
		process, err := p.client.Process(ctx, namespec)
		tell(namespec, process, err)
	}
}
