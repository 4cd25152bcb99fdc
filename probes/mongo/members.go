package mongo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
)

// enough is how many failures in a row make a member be down. The first may be that of
// a connection that was closed meanwhile, after which the driver tries another at once.
const enough = 2

// members is what the driver has found of the members, which it tries again for as long
// as a look may take. It ends a look when that has become hopeless.
type members struct {
	mu    sync.Mutex
	known map[string]*member // by address
	looks map[*look]bool     // that go on
}

type member struct {
	failures int
	err      error
}

type look struct {
	begun time.Time
	end   context.CancelCauseFunc
}

func newMembers() *members {
	return &members{known: make(map[string]*member), looks: make(map[*look]bool)}
}

// look is ctx, which ends with the reason when all members are found down by what was
// begun after this.
func (m *members) look(ctx context.Context) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	l := &look{time.Now(), end}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks[l] = true
	return ctx, func() {
		end(nil)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.looks, l)
	}
}

// monitor has the driver say what it finds.
func (m *members) monitor() *event.ServerMonitor {
	return &event.ServerMonitor{
		ServerOpening: func(e *event.ServerOpeningEvent) { m.set(e.Address.String(), new(member)) },
		ServerClosed:  func(e *event.ServerClosedEvent) { m.set(e.Address.String(), nil) },
		ServerHeartbeatSucceeded: func(e *event.ServerHeartbeatSucceededEvent) {
			m.set(address(e.ConnectionID), new(member))
		},
		ServerHeartbeatFailed: func(e *event.ServerHeartbeatFailedEvent) {
			m.failed(address(e.ConnectionID), e.Failure, time.Now().Add(-e.Duration))
		},
	}
}

// address is that of a connection called ADDRESS[-NUMBER].
func address(connection string) string {
	if i := strings.LastIndex(connection, "[-"); i >= 0 {
		return connection[:i]
	}
	return connection
}

func (m *members) set(address string, is *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if is == nil {
		delete(m.known, address)
	} else {
		m.known[address] = is
	}
}

func (m *members) failed(address string, err error, begun time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.known[address]
	if at == nil { // it is no member any more
		return
	}
	at.failures++
	at.err = err
	var reasons []error
	for _, address := range slices.Sorted(maps.Keys(m.known)) {
		k := m.known[address]
		if k.failures < enough {
			return
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", address, k.err))
	}
	for l := range m.looks {
		if begun.After(l.begun) {
			l.end(errors.Join(reasons...))
		}
	}
}
