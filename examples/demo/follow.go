package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// follow tells what the listeners log in files, as they log it, until all
// processes have been noticed and run again.
func follow(ctx context.Context, dir string, names []string, processes []supervisor.Process) error {
	var logs []*bufio.Reader
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		logs = append(logs, bufio.NewReader(f))
	}
	noticed := make(map[string]bool)
	restarted := make(map[string]bool)
	for partial := make([]string, len(logs)); len(restarted) < len(processes); {
		for i, log := range logs {
			text, err := log.ReadString('\n')
			partial[i] += text
			if err == io.EOF {
				continue
			}
			if err != nil {
				return err
			}
			var line struct {
				Level    string
				Msg      string
				Listener string
				Process  string
				NewPID   int `json:"new_pid"`
			}
			if err := json.Unmarshal([]byte(partial[i]), &line); err != nil {
				return fmt.Errorf("the log of a listener has a line that is not JSON: %q", partial[i])
			}
			partial[i] = ""
			if line.Process != "" || line.Level == "ERROR" {
				say("%s: %s", line.Listener, line.Msg)
			}
			if strings.Contains(line.Msg, " unhealthy: ") {
				noticed[line.Process] = true
			}
			if line.NewPID != 0 && noticed[line.Process] {
				restarted[line.Process] = true
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
