package config

import (
	"errors"

	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

// SinkKafka is a topic of Kafka.
type SinkKafka struct {
	Brokers     []string     `key:"brokers" need:"true" doc:"Some of the cluster's, each HOST:PORT."`
	Topic       string       `key:"topic" need:"true" doc:"Where records go, each as JSON with the key HOST/PROCESS. It must be there, unless there is create_topic."`
	Format      RecordFormat `key:"format" doc:"records, as docs/schema has them; or uptimer for what probes of URLs find, and nothing else, as the events of Uptimer 0.2. records where it is not given."`
	TLS         *TLSFiles    `key:"tls" doc:"For brokers that are spoken to with TLS: tls: {} where the system trusts their certificates."`
	SASL        *SASL        `key:"sasl" doc:"Who we are."`
	Compression string       `key:"compression" doc:"gzip, snappy, lz4, zstd or none. none where it is not given."`
	CreateTopic *KafkaTopic  `key:"create_topic" doc:"Create the topic where it is not there: create_topic: {} with what the brokers have for that."`
}

// SASL says who we are.
type SASL struct {
	Mechanism    string `key:"mechanism" need:"true" doc:"plain, scram-sha-256 or scram-sha-512."`
	Username     string `key:"username" need:"true" doc:"A user of the brokers."`
	Password     string `key:"password" secret:"true" doc:"That of the username."`
	PasswordFile string `key:"password_file" doc:"A file that has it in its first line."`
}

// KafkaTopic is how a topic is created.
type KafkaTopic struct {
	Partitions  *Count `key:"partitions" doc:"How many it has. As the brokers have it where it is not given."`
	Replication *Count `key:"replication" doc:"How many copies there are of each. As the brokers have it where it is not given."`
}

func (k *SinkKafka) check(report func(key, format string, args ...any)) {
	if _, err := k.write(); err != nil {
		var wrong *keyError
		if !errors.As(err, &wrong) {
			wrong = &keyError{"", err}
		}
		report(wrong.key, "%v", wrong.error)
	}
}

func (k *SinkKafka) write() (sinks.Writer, error) {
	cfg, err := k.Config()
	if err != nil {
		return nil, err
	}
	w, err := kafka.New(cfg)
	return w, ofKey(err)
}

// Config is that of the topic.
func (k *SinkKafka) Config() (kafka.Config, error) {
	cfg := kafka.Config{Brokers: k.Brokers, Topic: k.Topic, Compression: k.Compression, Format: k.Format.format()}
	if t := k.CreateTopic; t != nil {
		cfg.CreateTopic, cfg.Partitions, cfg.Replication = true, int(orZero(t.Partitions)), int(orZero(t.Replication))
	}
	var err error
	if files := k.TLS.files(); files != nil {
		if cfg.TLS, err = sinkTLS("kafka", *files); err != nil {
			return cfg, err
		}
	}
	if s := k.SASL; s != nil {
		login := Login{s.Username, s.Password, s.PasswordFile}
		_, password, refused := login.read()
		if refused != nil {
			return cfg, &keyError{"sasl." + refused.key, refused.error}
		}
		cfg.SASL = &kafka.SASL{Mechanism: s.Mechanism, Username: s.Username, Password: password}
	}
	return cfg, nil
}

// ofKey is the error of a field as that of its key.
func ofKey(err error) error {
	var wrong *kafka.ConfigError
	if errors.As(err, &wrong) {
		return &keyError{wrong.Field, wrong.Err}
	}
	return err
}
