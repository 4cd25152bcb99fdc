package kafka

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// Defaults of a ConsumerConfig.
const (
	DefaultGroup      = "supervisor-checks"
	DefaultBatch      = 500
	DefaultTimeout    = 30 * time.Second
	DefaultSession    = 30 * time.Second
	DeadLettersSuffix = ".dead"
)

// Headers of a dead letter, besides those of the message.
const (
	ReasonHeader    = "reason"    // why it is one
	TopicHeader     = "topic"     // where it was
	PartitionHeader = "partition" // of that topic
	OffsetHeader    = "offset"    // in that partition
	CutHeader       = "cut"       // "true" where the value is left out, for it is too long
)

const (
	minPause = 250 * time.Millisecond // after something has failed, which doubles
	maxPause = 30 * time.Second

	lookTime    = 5 * time.Second        // how often it is looked how far behind we are
	commitTime  = 10 * time.Second       // for a commit
	rebalanced  = 5 * time.Second        // for a batch when others wait for us
	endBatch    = 700 * time.Millisecond // for a batch at the end
	endCommit   = 400 * time.Millisecond // and for its commit
	endLeave    = 400 * time.Millisecond // and to tell the others
	maxFetch    = 8 << 20                // bytes that a broker sends at once
	maxFetchOne = 1 << 20                // of them from one partition
)

// ConsumerConfig configures a Consumer.
type ConsumerConfig struct {
	// Config says where the topic is that is read.
	Config

	// Topics, if not nil, are read in place of Config.Topic.
	Topics []string

	// Group is who shares the work. "" means DefaultGroup.
	Group string

	// To is where records go. It is required, and not closed.
	To sinks.Writer

	// DeadLetters is the topic for what will never be written. "" means the first topic
	// with DeadLettersSuffix.
	DeadLetters string

	// Batch is how many records To is given at most at once. 0 means DefaultBatch.
	Batch int

	// Timeout bounds one try to write a batch. 0 means DefaultTimeout.
	Timeout time.Duration

	// Session is after how long without a sign of life the others take over. 0 means
	// DefaultSession.
	Session time.Duration

	// Decode makes a record of a message, or says why it is none. nil means Decode.
	Decode func([]byte) (record.Record, error)

	// Log is told of trouble. nil means nobody.
	Log *slog.Logger
}

// Consumer takes records from Kafka to a Writer. Several with one group share the
// partitions. A new group begins with the oldest record.
//
// Offsets are committed only when the Writer has the records, or the topic for dead letters
// those that will never be written. So none is lost, whatever ends or fails in between; but
// some are written again, as they are, too, when partitions go from one consumer to
// another: the Writer must know records by their id that come for the second time.
type Consumer struct {
	cfg  ConsumerConfig
	said said
	dead producer

	reading, grouping, writing, burying, committing, poison trouble

	mu      sync.Mutex
	stats   Stats
	places  map[place]*position // those of our partitions
	waiting bool                // others wait for us, so that partitions can be shared anew
	hurry   context.CancelFunc  // what is being done; nil for nothing
}

// Stats are numbers since the beginning, and where we are now.
type Stats struct {
	Consumed, Written, DeadLetters uint64
	Partitions                     []PartitionStats // that are ours, in order
}

// PartitionStats are those of a partition.
type PartitionStats struct {
	Topic     string
	Partition int32
	Committed int64 // the offset where another would go on
	End       int64 // the offset of the next record that is produced
}

// Lag is how many records are not written yet.
func (p PartitionStats) Lag() int64 { return max(p.End-p.Committed, 0) }

type place struct {
	topic     string
	partition int32
}

// position is where we are in a partition; -1 where that is not known yet.
type position struct{ committed, end int64 }

// NewConsumer returns a Consumer, for Run.
func NewConsumer(cfg ConsumerConfig) (*Consumer, error) {
	if cfg.To == nil {
		return nil, errors.New("kafka: a consumer needs to know where records go")
	}
	if cfg.Topics == nil {
		cfg.Topics = []string{cfg.Topic}
	}
	cfg.Group, cfg.DeadLetters = cmp.Or(cfg.Group, DefaultGroup), cmp.Or(cfg.DeadLetters, cfg.Topics[0]+DeadLettersSuffix)
	cfg.Batch, cfg.Timeout, cfg.Session = cmp.Or(cfg.Batch, DefaultBatch), cmp.Or(cfg.Timeout, DefaultTimeout), cmp.Or(cfg.Session, DefaultSession)
	if slices.Contains(cfg.Topics, cfg.DeadLetters) {
		return nil, wrong("dead_letters", "%q is read itself: it must be another topic", cfg.DeadLetters)
	}
	if cfg.Decode == nil {
		cfg.Decode = Decode
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Consumer{cfg: cfg, places: make(map[place]*position)}
	c.dead.cfg = cfg.Config
	c.reading = trouble{log: cfg.Log, begins: "records cannot be read from Kafka", ends: "records can be read from Kafka again"}
	c.grouping = trouble{log: cfg.Log, begins: fmt.Sprintf("group %s gives us nothing to read", cfg.Group), ends: fmt.Sprintf("group %s gives us something to read again", cfg.Group)}
	c.writing = trouble{log: cfg.Log, begins: "records are not written, and wait in Kafka", ends: "records are written again"}
	c.burying = trouble{log: cfg.Log, begins: "records that will never be written cannot be put into " + cfg.DeadLetters + ": all others wait", ends: "records that will never be written can be put into " + cfg.DeadLetters + " again"}
	c.committing = trouble{log: cfg.Log, begins: "offsets cannot be committed: records may be written again", ends: "offsets can be committed again"}
	c.poison = trouble{log: cfg.Log, begins: "records like this one will never be written, and are put into " + cfg.DeadLetters}
	_, err := c.options(context.Background())
	return c, err
}

func (c *Consumer) options(ctx context.Context) ([]kgo.Opt, error) {
	opts, err := c.cfg.Config.options(&c.said)
	if err != nil {
		return nil, err
	}
	start := kgo.NewOffset().AtStart()
	opts = append(opts, kgo.WithContext(ctx), kgo.ConsumerGroup(c.cfg.Group), kgo.ConsumeTopics(c.cfg.Topics...),
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(c.cfg.Session), kgo.HeartbeatInterval(min(3*time.Second, c.cfg.Session/4)),
		kgo.RebalanceTimeout(c.cfg.Session+rebalanced+commitTime), kgo.FetchMaxBytes(maxFetch), kgo.FetchMaxPartitionBytes(maxFetchOne),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) { c.assigned(added) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { c.gone(gone) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { c.gone(gone) }),
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) { c.wait() }))
	if err := kgo.ValidateOpts(opts...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return opts, nil
}

// Run takes records until the end of ctx, and returns within two seconds of that. Whatever
// else goes wrong is tried again.
func (c *Consumer) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	opts, err := c.options(life)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	var looking sync.WaitGroup
	looking.Go(func() { c.look(ctx, client) })
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, c.cfg.Batch)
		c.polled(fetches)
		if records := fetches.Records(); len(records) > 0 {
			c.turn(ctx, client, records)
		}
		c.calm()
		client.AllowRebalance()
	}
	leave, cancel := context.WithTimeout(life, endLeave)
	client.LeaveGroupContext(leave)
	cancel()
	end()
	looking.Wait()
	c.dead.close()
	client.Close()
	return nil
}

// polled notes what is said of a poll.
func (c *Consumer) polled(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, _ int32, err error) {
		var broker *kerr.Error
		var lost *kgo.ErrDataLoss
		switch {
		case errors.As(err, &lost):
			c.cfg.Log.Error(fmt.Sprintf("messages of %s were deleted before they were read: %v", topic, lost))
		case errors.As(err, &broker): // others are about connections, of which look tells
			c.grouping.happens(c.said.because(err, topic))
		}
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if at := c.places[place{p.Topic, p.Partition}]; at != nil {
			at.end = max(at.end, p.HighWatermark)
		}
		c.stats.Consumed += uint64(len(p.Records))
	})
}

// turn writes what was read, and commits it. When there is no time for that, it will be
// read again.
func (c *Consumer) turn(ctx context.Context, client *kgo.Client, records []*kgo.Record) {
	// idle is for pauses, which have no time as soon as somebody waits for us, and work for
	// what is begun, which has some still.
	idle, hurry := context.WithCancel(ctx)
	defer hurry()
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(idle, func() {
		grace := rebalanced
		if ctx.Err() != nil {
			grace = endBatch
		}
		select {
		case <-time.After(grace):
			stop()
		case <-work.Done():
		}
	})
	c.mu.Lock()
	c.hurry = hurry
	if c.waiting {
		hurry()
	}
	c.mu.Unlock()

	if !c.write(idle, work, records) {
		rewind(client, records)
		return
	}
	limit := commitTime
	if ctx.Err() != nil {
		limit = endCommit
	}
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	c.commit(commit, client, records)
}

// write writes what was read, and reports whether all of it is where it belongs.
func (c *Consumer) write(idle, work context.Context, records []*kgo.Record) bool {
	var batch []record.Record
	var from, dead []*kgo.Record // the messages of the batch, and letters for what will never be written
	var poison error             // the first of it
	bury := func(m *kgo.Record, why error) {
		if poison == nil {
			poison = fmt.Errorf("%s, partition %d, offset %d: %w", m.Topic, m.Partition, m.Offset, why)
		}
		dead = append(dead, letter(m, why))
	}
	for _, m := range records {
		if r, err := c.cfg.Decode(m.Value); err != nil {
			bury(m, err)
		} else {
			batch, from = append(batch, r), append(from, m)
		}
	}
	var rejected *sinks.RejectedError
	written := len(batch) == 0 || c.try(idle, work, &c.writing, func(ctx context.Context) error {
		err := c.cfg.To.WriteBatch(ctx, batch)
		if errors.As(err, &rejected) {
			return nil
		}
		return err
	})
	if !written {
		return false
	}
	taken := len(batch)
	if rejected != nil {
		for _, r := range rejected.Records {
			bury(from[r.Index], r.Err)
		}
		taken -= len(rejected.Records)
	}
	c.mu.Lock()
	c.stats.Written += uint64(taken)
	c.mu.Unlock()
	if len(dead) == 0 {
		return true
	}
	if !c.try(idle, work, &c.burying, func(ctx context.Context) error { return c.bury(ctx, dead) }) {
		return false
	}
	c.mu.Lock()
	c.stats.DeadLetters += uint64(len(dead))
	c.mu.Unlock()
	c.poison.happens(poison)
	return true
}

// try does something until it works, and reports whether it did before there was no more
// time.
func (c *Consumer) try(idle, work context.Context, trouble *trouble, do func(context.Context) error) bool {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		ctx, cancel := context.WithTimeout(work, c.cfg.Timeout)
		err := do(ctx)
		cancel()
		if err == nil {
			trouble.over()
			return true
		}
		if work.Err() != nil {
			return false
		}
		trouble.happens(err)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-idle.Done():
			return false
		}
	}
}

// bury sends dead letters. Where a broker refuses some of many, each is sent by itself; of
// one that is too long there is left where it was.
func (c *Consumer) bury(ctx context.Context, letters []*kgo.Record) error {
	errs, err := c.dead.send(ctx, c.cfg.DeadLetters, letters)
	if err != nil {
		return err
	}
	for i, err := range errs {
		switch {
		case err == nil:
		case refused(err) && len(letters) > 1:
			for j := range letters {
				if err := c.bury(ctx, letters[j:j+1]); err != nil {
					return err
				}
			}
			return nil
		case refused(err) && cut(letters[i]):
			return c.bury(ctx, letters)
		default:
			return c.dead.said.because(err, c.cfg.DeadLetters)
		}
	}
	return nil
}

// letter is the dead letter for a message.
func letter(m *kgo.Record, why error) *kgo.Record {
	const most = 500 // bytes of a reason
	reason := why.Error()
	return &kgo.Record{Key: m.Key, Value: m.Value, Headers: append(slices.Clone(m.Headers),
		kgo.RecordHeader{Key: ReasonHeader, Value: []byte(reason[:min(len(reason), most)])},
		kgo.RecordHeader{Key: TopicHeader, Value: []byte(m.Topic)},
		kgo.RecordHeader{Key: PartitionHeader, Value: strconv.AppendInt(nil, int64(m.Partition), 10)},
		kgo.RecordHeader{Key: OffsetHeader, Value: strconv.AppendInt(nil, m.Offset, 10)})}
}

// cut leaves out what may be too long: all but what we say of it. It reports false where
// that is done already.
func cut(letter *kgo.Record) bool {
	own := letter.Headers[len(letter.Headers)-ownHeaders:]
	if own[ownHeaders-1].Key == CutHeader {
		return false
	}
	letter.Key, letter.Value = nil, nil
	letter.Headers = append(slices.Clone(own), kgo.RecordHeader{Key: CutHeader, Value: []byte("true")})
	return true
}

// ownHeaders is how many there are of ours at the end of those of a letter.
const ownHeaders = 4

// commit says that records are where they belong.
func (c *Consumer) commit(ctx context.Context, client *kgo.Client, records []*kgo.Record) {
	c.said.forget()
	err := client.CommitRecords(ctx, records...)
	switch {
	case err == nil:
		c.committing.over()
	case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.RebalanceInProgress):
		return // others have these partitions by now, and write the records again
	default:
		c.committing.happens(c.said.because(err, records[0].Topic))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range records {
		if at := c.places[place{m.Topic, m.Partition}]; at != nil {
			at.committed = max(at.committed, m.Offset+1)
			at.end = max(at.end, at.committed)
		}
	}
}

// rewind has records read again.
func rewind(client *kgo.Client, records []*kgo.Record) {
	first := make(map[string]map[int32]kgo.EpochOffset)
	for _, m := range records { // of each partition in their order
		if first[m.Topic] == nil {
			first[m.Topic] = make(map[int32]kgo.EpochOffset)
		}
		if _, is := first[m.Topic][m.Partition]; !is {
			first[m.Topic][m.Partition] = kgo.EpochOffset{Epoch: m.LeaderEpoch, Offset: m.Offset}
		}
	}
	client.SetOffsets(first)
}

// assigned notes that partitions are ours.
func (c *Consumer) assigned(added map[string][]int32) {
	c.grouping.over()
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range added {
		for _, p := range partitions {
			c.places[place{topic, p}] = &position{-1, -1}
		}
	}
}

// gone notes that partitions are not ours any more.
func (c *Consumer) gone(gone map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range gone {
		for _, p := range partitions {
			delete(c.places, place{topic, p})
		}
	}
}

// wait notes that others wait for us.
func (c *Consumer) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = true
	if c.hurry != nil {
		c.hurry()
	}
}

// calm notes that they do not.
func (c *Consumer) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.hurry = false, nil
}

// look looks again and again how far behind we are, and tells when Kafka cannot be
// reached.
func (c *Consumer) look(ctx context.Context, client *kgo.Client) {
	admin := kadm.NewClient(client)
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for pause := minPause; ; {
		limited, cancel := context.WithTimeout(ctx, lookTime)
		c.said.forget()
		topic, err := c.measure(limited, admin)
		if err != nil && c.cfg.CreateTopic && errors.Is(err, kerr.UnknownTopicOrPartition) {
			if err = c.cfg.create(limited, client, topic, c.cfg.Partitions); err == nil {
				client.ForceMetadataRefresh()
			}
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		next := tick.C
		if err != nil {
			c.reading.happens(c.said.because(err, topic))
			next = time.After(pause)
			pause = min(2*pause, lookTime)
		} else {
			if c.reading.over() {
				client.ForceMetadataRefresh() // a topic may be there that was not
			}
			pause = minPause
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// measure looks how far behind we are. The error is about a topic.
func (c *Consumer) measure(ctx context.Context, admin *kadm.Client) (topic string, err error) {
	ends, err := admin.ListEndOffsets(ctx, c.cfg.Topics...)
	if err != nil {
		return c.cfg.Topics[0], err
	}
	for _, topic := range c.cfg.Topics {
		for _, p := range ends[topic] {
			if p.Err != nil {
				return topic, p.Err
			}
		}
		if len(ends[topic]) == 0 {
			return topic, kerr.UnknownTopicOrPartition
		}
	}
	c.mu.Lock()
	unknown := false
	for at, p := range c.places {
		if end, is := ends.Lookup(at.topic, at.partition); is {
			p.end = max(p.end, end.Offset)
		}
		unknown = unknown || p.committed < 0
	}
	c.mu.Unlock()
	if !unknown {
		return "", nil
	}
	starts, err := admin.ListStartOffsets(ctx, c.cfg.Topics...)
	if err != nil {
		return c.cfg.Topics[0], err
	}
	committed, err := admin.FetchOffsets(ctx, c.cfg.Group)
	if err != nil {
		return c.cfg.Topics[0], err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, p := range c.places {
		if p.committed >= 0 { // by ourselves
			continue
		}
		if start, is := starts.Lookup(at.topic, at.partition); is && start.Err == nil {
			p.committed = start.Offset
		}
		if there, is := committed.Lookup(at.topic, at.partition); is && there.Err == nil {
			if gone := p.committed - there.At; gone > 0 && there.At >= 0 {
				c.cfg.Log.Error(fmt.Sprintf("%d messages of partition %d of %s were deleted before they were read: the topic keeps them for too short a time", gone, at.partition, at.topic))
			}
			p.committed = max(p.committed, there.At)
		}
	}
	return "", nil
}

// Stats returns what there is to be said of it.
func (c *Consumer) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	for _, at := range slices.SortedFunc(maps.Keys(c.places), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	}) {
		p := c.places[at]
		s.Partitions = append(s.Partitions, PartitionStats{Topic: at.topic, Partition: at.partition, Committed: max(p.committed, 0), End: max(p.end, 0)})
	}
	return s
}

// Err is what is wrong just now; nil where all is well.
func (c *Consumer) Err() error {
	return errors.Join(c.reading.now(), c.grouping.now(), c.writing.now(), c.burying.now(), c.committing.now())
}

// Decode makes a record of a message as a Writer sends it: JSON that has an id and a kind.
func Decode(text []byte) (r record.Record, err error) {
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.ID == "" || r.Kind == "" {
		return r, errors.New("it is no record, for it has no id, or no kind")
	}
	return r, nil
}

// trouble is told of when it begins, and when it is over.
type trouble struct {
	log          *slog.Logger
	begins, ends string

	mu        sync.Mutex
	recurring recurring.Trouble
	last      error // nil once it is over
}

// now is what is wrong.
func (t *trouble) now() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", t.begins, t.last)
}

func (t *trouble) happens(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
	if tell, again := t.recurring.Happens(time.Now(), err.Error()); tell {
		still := ""
		if again {
			still = "still: "
		}
		t.log.Error(fmt.Sprintf("%s%s: %v", still, t.begins, err))
	}
}

// over reports whether there was trouble.
func (t *trouble) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = nil
	if !t.recurring.Ends() {
		return false
	}
	t.log.Info(t.ends)
	return true
}
