package listener

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// careless, if set in the environment, makes the test binary a listener that
// prints where it should not.
const careless = "LISTENER_TEST_CARELESS"

func TestMain(m *testing.M) {
	if os.Getenv(careless) == "" {
		os.Exit(m.Run())
	}
	if err := beCareless(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func beCareless() error {
	in, out, err := Stdio()
	if err != nil {
		return err
	}
	fmt.Println("a stray print")
	read, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	fmt.Printf("read %q\n", read)
	child := exec.Command("sh", "-c", `echo a child; cat`)
	child.Stdin, child.Stdout = os.Stdin, os.Stdout
	if err := child.Run(); err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return err
}

func TestStdio(t *testing.T) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), careless+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("the protocol"), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if got, want := stdout.String(), "the protocol"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if got, want := stderr.String(), "a stray print\nread \"\"\na child\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}
