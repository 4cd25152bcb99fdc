package script

import "time"

// SettlesAfter has a server be well again when it answers after that time.
func (s *Script) SettlesAfter(d time.Duration) { s.server.settled = d }
