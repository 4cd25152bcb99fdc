package kafka

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// Headers of what a Writer sends.
const (
	TypeHeader    = "type"    // the record's kind
	VersionHeader = "version" // the record's version
)

// Writer is a sinks.Writer that sends each record to a topic, as JSON. The key is
// HOST/PROCESS, or HOST/ and what else it is about, so that what is said of one process
// stays in order.
//
// A batch is taken when all replicas that are in sync have it. What has failed is not sent
// any more: who calls WriteBatch sends it again, and then some of it may be there twice, or
// once more behind what follows. Who reads must know records by their id that come for the
// second time.
type Writer struct {
	to producer
}

// New returns a Writer. It connects when there is something to write.
func New(cfg Config) (*Writer, error) {
	w := &Writer{producer{cfg: cfg}}
	_, err := cfg.options(&w.to.said)
	return w, err
}

// WriteBatch sends records. Those that are too long for the topic, or that the brokers
// refuse for what they are, are rejected. Where a broker refuses some of many, each is sent
// by itself to find out which they are. What else goes wrong is an error after some
// seconds, or at the end of ctx, which says what the brokers said last.
func (w *Writer) WriteBatch(ctx context.Context, batch []record.Record) error {
	var rejected sinks.RejectedError
	messages := make([]*kgo.Record, 0, len(batch))
	at := make([]int, 0, len(batch)) // of each in the batch
	var text []byte
	for i := range batch {
		m, err := w.message(&batch[i], &text)
		switch {
		case err != nil:
			rejected.Records = append(rejected.Records, sinks.Rejected{Index: i, Err: err})
		case len(m.Value) > 0:
			messages, at = append(messages, m), append(at, i)
		}
	}
	errs, err := w.to.send(ctx, w.to.cfg.Topic, messages)
	if err != nil {
		return err
	}
	for i, err := range errs {
		switch {
		case err == nil:
		case !refused(err):
			return w.to.said.because(err, w.to.cfg.Topic)
		case len(batch) > 1 && !errors.Is(err, errTooLong): // of others beside it, perhaps
			return sinks.Singly(ctx, w, batch)
		default:
			rejected.Records = append(rejected.Records, sinks.Rejected{Index: at[i], Err: err})
		}
	}
	if rejected.Records != nil {
		return &rejected
	}
	return nil
}

// Close ends all connections.
func (w *Writer) Close() error {
	w.to.close()
	return nil
}

// message is what is sent of a record, which is made in a text that can be used again.
func (w *Writer) message(r *record.Record, text *[]byte) (*kgo.Record, error) {
	var err error
	if *text, err = w.to.cfg.Format.Append((*text)[:0], r); err != nil {
		return nil, err
	}
	return &kgo.Record{
		Key: []byte(r.Host + "/" + cmp.Or(r.Process, r.Group, r.Probe, r.Listener, r.Sink)), Value: bytes.Clone(*text), Timestamp: r.Time,
		Headers: []kgo.RecordHeader{{Key: TypeHeader, Value: []byte(r.Kind)}, {Key: VersionHeader, Value: strconv.AppendInt(nil, int64(r.Version), 10)}},
	}, nil
}

// refused reports whether an error is about what a record is.
func refused(err error) bool {
	return errors.Is(err, errTooLong) || errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) ||
		errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)
}

// errTooLong is of a record that is not sent.
var errTooLong = errors.New("it is longer than a message may be")

// maxMessage is how long a message may be: as brokers have it where they are not told
// otherwise, less what is around it.
const maxMessage = 1_000_012 - 1024

// producer sends messages, with a client that it makes when it needs one.
type producer struct {
	cfg    Config
	said   said
	client *kgo.Client // nil for none
}

// send sends messages to a topic, and returns what became of each. At the end of ctx the
// client is ended, so that nothing is sent any more.
func (p *producer) send(ctx context.Context, topic string, messages []*kgo.Record) ([]error, error) {
	p.said.forget()
	if err := p.open(ctx, topic); err != nil {
		return nil, p.said.because(err, topic)
	}
	errs := make([]error, len(messages))
	var sent sync.WaitGroup
	for i, m := range messages {
		m.Topic, m.Context = topic, ctx // in place of that of an earlier try
		if len(m.Key)+len(m.Value) > maxMessage {
			errs[i] = errTooLong
			continue
		}
		sent.Add(1)
		p.client.Produce(ctx, m, func(_ *kgo.Record, err error) {
			errs[i] = err
			sent.Done()
		})
	}
	if p.client.Flush(ctx) != nil { // it is the end of ctx
		p.close()
	}
	sent.Wait()
	return errs, nil
}

// open makes a client, and the topic, unless that was done.
func (p *producer) open(ctx context.Context, topic string) error {
	if p.client != nil {
		return nil
	}
	opts, err := p.cfg.options(&p.said)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	if p.cfg.CreateTopic {
		if err := p.cfg.create(ctx, client, topic, p.cfg.Partitions); err != nil {
			client.Close()
			return err
		}
	}
	p.client = client
	return nil
}

func (p *producer) close() {
	if p.client != nil {
		p.client.Close()
		p.client = nil
	}
}
