package sinks

import (
	"slices"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/record"
)

func TestBacklog(t *testing.T) {
	b := backlog{batch: 3}
	names := func(records []record.Record) (all string) {
		for _, r := range records {
			all += r.Process
		}
		return all
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want || b.len != len(slices.Collect(b.all())) {
			t.Errorf("%s: got %q, want %q; %d records, it says %d", what, got, want, len(slices.Collect(b.all())), b.len)
		}
	}
	isResult := func(r *record.Record) bool { return r.Kind == record.CheckResult }
	for _, name := range "abcdefg" {
		kind := record.CheckResult
		if name == 'a' || name == 'b' || name == 'g' {
			kind = record.Restart
		}
		b.add(record.Record{Kind: kind, Process: string(name)})
	}
	b.drop(isResult)
	want("without the oldest result", names(slices.Collect(b.all())), "abdefg")
	want("the oldest batch", names(b.take()), "ab")
	b.drop(isResult)
	b.drop(isResult)
	b.drop(isResult)
	want("without results", names(slices.Collect(b.all())), "g")
	b.drop(isResult)
	want("without anything", names(b.take()), "")
	b.add(record.Record{Process: "h"})
	b.clear()
	want("after all is taken away", names(b.take()), "")
}
