package record

import (
	"crypto/rand"
	"encoding/hex"
	"sync/atomic"
	"time"
)

// lastID is the part of the newest id that comes from the clock.
var lastID atomic.Int64

// newID returns a UUID of version 7 (RFC 9562): milliseconds, a fraction of one in twelve
// bits, which make each greater than the one before, and a random rest. The libraries for
// that link database/sql, which the small programs should not.
func newID() string {
	now := time.Now()
	stamp := now.UnixMilli()<<12 | int64(now.Nanosecond()%1e6)<<12/1e6
	for {
		last := lastID.Load()
		next := max(stamp, last+1)
		if lastID.CompareAndSwap(last, next) {
			stamp = next
			break
		}
	}
	var b [16]byte
	rand.Read(b[8:]) // which never fails
	for i := range 6 {
		b[i] = byte(stamp >> (12 + 8*(5-i)))
	}
	b[6] = 0x70 | byte(stamp>>8)&0x0f
	b[7] = byte(stamp)
	b[8] = 0x80 | b[8]&0x3f
	text := make([]byte, 0, 36)
	begin := 0
	for _, end := range []int{4, 6, 8, 10, 16} {
		if begin > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, b[begin:end])
		begin = end
	}
	return string(text)
}
