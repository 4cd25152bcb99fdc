package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/uptimer"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

// consuming is what consume is told.
type consuming struct {
	config, from, to, group, deadLetters, listen string
}

// consumeCommand takes records from one sink to another.
func consumeCommand() *cobra.Command {
	var f consuming
	c := &cobra.Command{
		Use: "consume --to SINK", Short: "take records from Kafka to another sink of a file, until it is stopped", Args: arguments(0, 0),
		Example: "supervisor_checks consume --from kafka --to file --config /etc/supervisor-checks.yaml --listen :9102",
		Long: `Takes the records that listeners have sent to Kafka to another sink. Both are sinks of the file, which needs no
watch for this: SINK is the name of one, or its kind where there is only one of that.

Several with one --group share the work. Offsets are committed only when the sink has the records, so none is
lost, whatever ends or fails in between; some are written again then, which a sink must know by their id. What
is no record, and what the sink will never take, goes to --dead-letter-topic, with headers that tell why and
where it was.

With --listen, /metrics is for Prometheus and has how far behind it is, and /healthz answers 200 while all is
well, else 503 and what is wrong. On SIGTERM it ends within two seconds.`,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.config, "config", defaultConfig, "the `FILE` to read")
	flags.StringVar(&f.from, "from", "kafka", "the `SINK` that records come from, of the kind kafka")
	flags.StringVar(&f.to, "to", "", "the `SINK` that they go to (required)")
	flags.StringVar(&f.group, "group", kafka.DefaultGroup, "the consumer group, by `NAME`")
	flags.StringVar(&f.deadLetters, "dead-letter-topic", "", "the `TOPIC` for what will never be written (default that of --from with "+kafka.DeadLettersSuffix+")")
	flags.StringVar(&f.listen, "listen", "", "`ADDRESS` of /metrics and /healthz: HOST:PORT, or :PORT for 127.0.0.1")
	c.RegisterFlagCompletionFunc("config", cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt))
	return c
}

// run consumes until it is told to end.
func (f *consuming) run(c *cobra.Command) error {
	if f.to == "" {
		return usageError{errors.New("--to says where records go: the name of a sink of the file, or its kind")}
	}
	if _, _, err := net.SplitHostPort(f.listen); f.listen != "" && err != nil {
		return usageError{fmt.Errorf("--listen: %q is not HOST:PORT, or :PORT", f.listen)}
	}
	text, err := os.ReadFile(f.config)
	if err != nil {
		return usageError{err}
	}
	file, err := config.Read(f.config, text, os.LookupEnv)
	if err != nil {
		return fileError{err}
	}
	from, err := file.FindSink(f.from)
	if err == nil && from.Kafka == nil {
		err = fmt.Errorf("the sink %s is not of the kind kafka", from.Name)
	}
	if err != nil {
		return usageError{fmt.Errorf("--from: %w", err)}
	}
	to, err := file.FindSink(f.to)
	if err == nil && to == from {
		err = errors.New("it is the sink that records come from")
	}
	if err != nil {
		return usageError{fmt.Errorf("--to: %w", err)}
	}
	log, closeLog, err := newLog(c.ErrOrStderr(), file.Log)
	if err != nil {
		return err
	}
	defer closeLog()
	cfg := kafka.ConsumerConfig{Group: f.group, DeadLetters: f.deadLetters, Log: log, Decode: decode}
	if cfg.Config, err = from.Kafka.Config(); err != nil {
		return fileError{fmt.Errorf("%s: sink %s: kafka: %w", f.config, from.Name, err)}
	}
	if cfg.To, err = to.Writer(); err != nil {
		return fileError{fmt.Errorf("%s: sink %s: %w", f.config, to.Name, err)}
	}
	defer cfg.To.Close()
	if to.Kinds != nil {
		cfg.To = sinks.Only(to.Kinds, cfg.To)
	}
	consumer, err := kafka.NewConsumer(cfg)
	if err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var serving sync.WaitGroup
	if f.listen != "" {
		serving.Go(func() { serveConsumer(ctx, f.listen, consumer, log) })
	}
	log.Info(fmt.Sprintf("takes records from %s, topic %s, to %s, in group %s", from.Name, cfg.Topic, to.Name, f.group))
	err = consumer.Run(ctx)
	stop()
	serving.Wait()
	return err
}

// decode makes a record of a message, which may be an event of Uptimer's.
func decode(text []byte) (record.Record, error) {
	if uptimer.Is(text) {
		return uptimer.Decode(text)
	}
	return kafka.Decode(text)
}

// serveConsumer tells how a consumer is.
func serveConsumer(ctx context.Context, address string, c *kafka.Consumer, log *slog.Logger) {
	mux := http.NewServeMux()
	mux.Handle("/metrics", health.NewMetrics(health.MetricsConfig{More: func() []health.Counter { return consumerCounters(c.Stats()) }}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := c.Err(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	keepServing(ctx, health.ServerConfig{Address: address, Handler: mux, Log: log}, "far behind this is")
}

// consumerCounters are what a consumer counts, as metrics.
func consumerCounters(s kafka.Stats) []health.Counter {
	one := func(value uint64) func() uint64 { return func() uint64 { return value } }
	all := []health.Counter{
		{Name: "supervisor_consumer_read_records_total", Help: "Messages that were read, those read again included.", Value: one(s.Consumed)},
		{Name: "supervisor_consumer_written_records_total", Help: "Records that the sink has taken.", Value: one(s.Written)},
		{Name: "supervisor_consumer_dead_letters_total", Help: "Messages that will never be written, and are in the topic for dead letters.", Value: one(s.DeadLetters)},
	}
	for _, p := range s.Partitions {
		labels := map[string]string{"topic": p.Topic, "partition": strconv.Itoa(int(p.Partition))}
		all = append(all,
			health.Counter{Name: "supervisor_consumer_lag_records", Help: "Messages that are not written yet, of each partition that is ours.", Labels: labels, Gauge: true, Value: one(uint64(p.Lag()))},
			health.Counter{Name: "supervisor_consumer_committed_offset", Help: "The offset that is committed.", Labels: labels, Gauge: true, Value: one(uint64(p.Committed))})
	}
	return all
}
