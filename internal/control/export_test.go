package control

import "time"

// LookOften has listeners look at their sockets that often, from now on.
func LookOften(d time.Duration) { lookTime = d }
