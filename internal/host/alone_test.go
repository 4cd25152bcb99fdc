package host

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/runner"
)

// hungUp sends its own process SIGHUP when that says that it begins.
type hungUp struct {
	slog.Handler
	noticed func()
}

func (h hungUp) Handle(_ context.Context, r slog.Record) error {
	switch {
	case strings.Contains(r.Message, " begins: "):
		came := make(chan os.Signal, 1)
		signal.Notify(came, syscall.SIGHUP)
		defer signal.Stop(came)
		syscall.Kill(os.Getpid(), syscall.SIGHUP)
		<-came
	case strings.HasPrefix(r.Message, "SIGHUP: "):
		h.noticed()
	}
	return nil
}

// TestHUPAtTheStart has what looks at probes alone take notice of a SIGHUP that comes with
// its first word.
func TestHUPAtTheStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := new(cobra.Command)
	c.SetContext(ctx)
	cfg := runner.Config{Name: "urls", DryRun: true, Log: slog.New(hungUp{slog.NewTextHandler(io.Discard, nil), cancel})}
	if err := new(fromFile).alone(c, new(config.File), cfg); err != nil || ctx.Err() != context.Canceled {
		t.Error(err, ctx.Err())
	}
}
