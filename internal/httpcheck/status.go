package httpcheck

import (
	"fmt"
	"strconv"
	"strings"
)

// Statuses is a set of HTTP status codes.
type Statuses struct{ ranges []statusRange }

type statusRange struct{ first, last int } // both included

// ParseStatuses reads a list of status codes and ranges of them, such as
// "200-299,301". "" is the set of 200 alone.
func ParseStatuses(list string) (Statuses, error) {
	if list == "" {
		list = "200"
	}
	var s Statuses
	for item := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			to = from
		}
		first, err := parseStatus(from)
		if err != nil {
			return Statuses{}, err
		}
		last, err := parseStatus(to)
		if err != nil {
			return Statuses{}, err
		}
		if last < first {
			return Statuses{}, fmt.Errorf("the range %d-%d runs backwards", first, last)
		}
		s.ranges = append(s.ranges, statusRange{first, last})
	}
	return s, nil
}

func parseStatus(s string) (int, error) {
	code, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil || code < 100 || code > 599 {
		return 0, fmt.Errorf("%q is not a status code between 100 and 599", s)
	}
	return int(code), nil
}

// Contains reports whether code is in the set.
func (s Statuses) Contains(code int) bool {
	for _, r := range s.ranges {
		if r.first <= code && code <= r.last {
			return true
		}
	}
	return false
}
