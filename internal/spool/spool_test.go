package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, dir string, cfg Config) *Spool {
	t.Helper()
	s, err := Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entries(matters bool, texts ...string) (all []Entry) {
	for _, text := range texts {
		all = append(all, Entry{Data: []byte(text), Matters: matters})
	}
	return all
}

func add(t *testing.T, s *Spool, all ...Entry) (dropped [2]int) {
	t.Helper()
	dropped, err := s.Append(all...)
	if err != nil {
		t.Fatal(err)
	}
	return dropped
}

// next returns what is next, in words.
func next(t *testing.T, s *Spool, most int) (all []Entry, text string) {
	t.Helper()
	all, err := s.Next(most)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range all {
		text := string(e.Data)
		if e.Matters {
			text += "!"
		}
		texts = append(texts, text)
	}
	return all, strings.Join(texts, " ")
}

func want(t *testing.T, s *Spool, text string) {
	t.Helper()
	if _, got := next(t, s, 1000); got != text || s.Empty() != (text == "") || s.Len() != len(strings.Fields(text)) {
		t.Errorf("%q, %d of them, empty %v, want %q", got, s.Len(), s.Empty(), text)
	}
}

func TestOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Config{})
	want(t, s, "")
	add(t, s, entries(false, "a", "b")...)
	add(t, s, append(entries(true, "c"), entries(false, "d")...)...)
	add(t, s, entries(true, "e")...)
	want(t, s, "a b c! d e!")
	two, text := next(t, s, 2)
	if text != "a b" {
		t.Errorf("two of them are %q", text)
	}
	if err := s.Take(two[0]); err != nil {
		t.Error(err)
	}
	want(t, s, "b c! d e!")
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one in that folder: %v", err)
	}
	s.Close()
	s = open(t, dir, Config{})
	want(t, s, "b c! d e!")
	add(t, s, entries(false, "f")...)
	want(t, s, "b c! d e! f")
	all, _ := next(t, s, 1000)
	if err := s.Take(all[4]); err != nil {
		t.Error(err)
	}
	want(t, s, "")
	if files, _ := filepath.Glob(dir + "/[ab]-*"); len(files) != 0 {
		t.Errorf("files %q", files)
	}
	s.Take(all[0]) // which is long over
	own := entries(true, "g", "h")
	add(t, s, own...)
	s.Take(own[0])
	want(t, s, "h!")
}

// TestFull drops the oldest of those that do not matter before those that do.
func TestFull(t *testing.T) {
	s := open(t, t.TempDir(), Config{MaxBytes: 1000})
	one := strings.Repeat("x", 84) // 100 bytes with its header, two or three of which are in a file
	var lost [2]int
	for i := range 30 {
		dropped := add(t, s, Entry{Data: []byte(one), Matters: i%10 == 0})
		lost[0], lost[1] = lost[0]+dropped[0], lost[1]+dropped[1]
		if s.Bytes() > 1000 {
			t.Fatalf("%d bytes", s.Bytes())
		}
	}
	if lost[1] != 0 || lost[0]+s.Len() != 30 {
		t.Errorf("lost %v, %d left", lost, s.Len())
	}
	all, text := next(t, s, 1000)
	if strings.Count(text, "!") != 3 {
		t.Errorf("there are %q", text)
	}
	if err := s.Take(all[len(all)-1]); err != nil {
		t.Error(err)
	}
	for range 20 {
		dropped := add(t, s, Entry{Data: []byte(one), Matters: true})
		lost[1] += dropped[1]
	}
	if lost[1] == 0 || lost[1]+s.Len() != 20 {
		t.Errorf("lost %v, %d left", lost, s.Len())
	}
	if _, err := s.Append(Entry{Data: make([]byte, MaxEntry+1)}); err == nil {
		t.Error("an entry that is too long")
	}
}

// TestDamage cuts files short and changes bytes in them: what is read is what was written
// before that, and never anything else.
func TestDamage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		dir := t.TempDir()
		s, err := Open(dir, Config{})
		if err != nil {
			t.Fatal(err)
		}
		count := 1 + random.IntN(20)
		for i := range count {
			add(t, s, Entry{Data: fmt.Appendf(nil, "entry %d %s", i, strings.Repeat("y", random.IntN(50))), Matters: random.IntN(2) == 0})
		}
		all, _ := next(t, s, 1000)
		s.Close()
		files, _ := filepath.Glob(dir + "/[ab]-*")
		path := files[random.IntN(len(files))]
		text, _ := os.ReadFile(path)
		if at := random.IntN(len(text)); random.IntN(2) == 0 {
			text = text[:at]
		} else {
			text[at] ^= byte(1 + random.IntN(255))
		}
		os.WriteFile(path, text, 0o600)
		s = open(t, dir, Config{})
		found, _ := next(t, s, 1000)
		i := 0
		for _, e := range found {
			for i < len(all) && string(all[i].Data) != string(e.Data) {
				i++
			}
			if i == len(all) {
				t.Fatalf("it has %q, which was not written, or not in that order", e.Data)
			}
		}
		if len(found) == count && s.Damaged() > 0 || len(found) < count && s.Damaged() == 0 && len(text) > 0 && !boundary(text) {
			t.Fatalf("%d of %d found, damaged %d", len(found), count, s.Damaged())
		}
		add(t, s, entries(true, "more")...)
		if _, text := next(t, s, 1000); !strings.HasSuffix(text, "more!") {
			t.Fatalf("after that: %q", text)
		}
		s.Close()
	}
}

// boundary reports whether a file ends with an entry.
func boundary(text []byte) bool {
	for len(text) >= headerBytes {
		text = text[min(len(text), headerBytes+int(binary.LittleEndian.Uint32(text[4:]))):]
	}
	return len(text) == 0
}

// TestWriteFails has no room on disk: what is there can be read, and what comes later is
// added.
func TestWriteFails(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	add(t, s, entries(false, "a")...)
	s.lanes[0].file.Close()
	if _, err := s.Append(entries(false, "b")...); err == nil {
		t.Fatal("there is no error")
	}
	want(t, s, "a")
	add(t, s, entries(false, "c")...)
	want(t, s, "a c")
}

// FuzzOpen opens a folder with any bytes in a file.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{})
	f.Add(encode(encode(nil, 1, []byte("a")), 2, []byte("b")))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "a-0000000000000001"), text, 0o600)
		os.WriteFile(filepath.Join(dir, "taken"), text[:min(len(text), 12)], 0o600)
		s, err := Open(dir, Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Append(entries(true, "more")...); err != nil {
			t.Fatal(err)
		}
		all, err := s.Next(10_000)
		if err != nil || len(all) == 0 || string(all[len(all)-1].Data) != "more" {
			t.Fatalf("%d entries, error %v", len(all), err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(b.TempDir(), Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	data := []byte(strings.Repeat("x", 400))
	for b.Loop() {
		if _, err := s.Append(Entry{Data: data}); err != nil {
			b.Fatal(err)
		}
	}
}
