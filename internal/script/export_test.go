package script

import "time"

// SettlesAfter has a server be well again when it answers after that time.
func (s *Script) SettlesAfter(d time.Duration) { s.server.settled = d }

// Limit has it wait that long for a reply.
func (s *Script) Limit(d time.Duration) { s.program.Timeout = d }

// NextPause is how long a server has to pause when it fails next.
func (s *Script) NextPause() time.Duration {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return s.server.pause
}
