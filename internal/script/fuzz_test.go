package script

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// FuzzReply has whatever line be a reply in JSON.
func FuzzReply(f *testing.F) {
	for _, line := range []string{"", "fine", `{"status":"healthy"}`, `{"status":"unhealthy","reason":"queue\nis full","metrics":{"a":1,"b":"2","c d":3}}`, `{"status":"unknown","metrics":{"a":1e999}}`, `{"STATUS":"healthy","status":null}`, "{\"status\":\"\x00\"}"} {
		f.Add(line, true)
		f.Add(line, false)
	}
	name100 := regexp.MustCompile(`^[A-Za-z_:][A-Za-z0-9_:.-]{0,99}$`)
	failure := errors.New("it exited with status 1")
	f.Fuzz(func(t *testing.T, line string, fails bool) {
		by, exit := Outcome{Healthy, nil, nil}, 0
		if fails {
			by, exit = Outcome{Unhealthy, failure, nil}, 1
		}
		o := new(Script).reply(line, by, exit)
		if (o.Err == nil) != (o.Status == Healthy) || fails && o.Status == Healthy {
			t.Errorf("%v because of %v", o.Status, o.Err)
		}
		if o.Err != nil && strings.ContainsAny(o.Err.Error(), "\n\r\x00\x1b") {
			t.Errorf("this is no line: %q", o.Err)
		}
		for name := range o.Metrics {
			if !name100.MatchString(name) {
				t.Errorf("a metric is called %q", name)
			}
		}
	})
}
