package realservers

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// KafkaJars is the variable that has the folder of what make test-kafka has fetched.
const KafkaJars = "KAFKA_JARS"

// KafkaCluster is an Apache Kafka. The user me has the password sesame.
type KafkaCluster struct {
	Brokers      []string // HOST:PORT of each, for anybody
	SASL         []string // the same, for those who say who they are
	TLS          []string // the same, with TLS
	Certificates *Certificates

	nodes []*kafkaNode
}

type kafkaNode struct {
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan struct{}
}

// Kafka starts so many brokers until the end of the test, or skips it where there are no
// KafkaJars.
func Kafka(t testing.TB, brokers int) *KafkaCluster {
	t.Helper()
	jars := os.Getenv(KafkaJars)
	if jars == "" {
		t.Skip("NOT TESTED with a real Kafka: make test-kafka does")
	}
	dir, _ := folder(t, "")
	c, err := startKafka(jars, dir, brokers, NewCertificates(t, 24*time.Hour))
	t.Cleanup(c.end)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// WithKafka runs tests that share a Kafka with so many brokers, nil where there are no
// KafkaJars, and returns what they do.
func WithKafka(brokers int, run func(*KafkaCluster) int) int {
	jars := os.Getenv(KafkaJars)
	if jars == "" {
		return run(nil)
	}
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	certificates, err := newCertificates(dir, 24*time.Hour)
	if err == nil {
		var c *KafkaCluster
		c, err = startKafka(jars, dir, brokers, certificates)
		defer c.end()
		if err == nil {
			return run(c)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// startKafka starts brokers that are controllers as well. Where somebody else is faster
// with a port, all are started again with others.
func startKafka(jars, dir string, brokers int, certificates *Certificates) (c *KafkaCluster, err error) {
	for try := range 3 {
		c = &KafkaCluster{Certificates: certificates}
		if err = c.start(jars, filepath.Join(dir, fmt.Sprint(try)), brokers); err == nil {
			return c, nil
		}
		c.end()
	}
	return c, err
}

func (c *KafkaCluster) start(jars, dir string, brokers int) error {
	ports, err := freePorts(4 * brokers)
	if err != nil {
		return err
	}
	port := func(node, which int) string { return "127.0.0.1:" + ports[4*node+which] }
	var voters []string
	for i := range brokers {
		voters = append(voters, fmt.Sprintf("%d@%s", i, port(i, 3)))
		c.Brokers, c.SASL, c.TLS = append(c.Brokers, port(i, 0)), append(c.SASL, port(i, 1)), append(c.TLS, port(i, 2))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	pem := filepath.Join(dir, "server.pem")
	cert, err := os.ReadFile(c.Certificates.Cert)
	key, keyErr := os.ReadFile(c.Certificates.Key)
	if err := errors.Join(err, keyErr, os.WriteFile(pem, append(key, cert...), 0o600)); err != nil {
		return err
	}
	java := func(node int, args ...string) *exec.Cmd {
		cmd := exec.Command("java", append([]string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*")}, args...)...)
		cmd.Dir = dir
		cmd.SysProcAttr = ownGroup()
		return cmd
	}
	for i := range brokers {
		file := filepath.Join(dir, fmt.Sprintf("%d.properties", i))
		copies := min(brokers, 3)
		settings := fmt.Sprintf(`process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%s,SASL_PLAINTEXT://%s,SSL://%s,CONTROLLER://%s
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_me="sesame";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=%s
log.dirs=%s
auto.create.topics.enable=false
default.replication.factor=%d
min.insync.replicas=%d
offsets.topic.replication.factor=%[9]d
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=%[9]d
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
`, i, strings.Join(voters, ","), port(i, 0), port(i, 1), port(i, 2), port(i, 3), pem, filepath.Join(dir, fmt.Sprint("data", i)), copies, max(copies-1, 1))
		if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
			return err
		}
		format := java(i, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", file,
			"--add-scram", "SCRAM-SHA-256=[name=me,password=sesame]", "--add-scram", "SCRAM-SHA-512=[name=me,password=sesame]")
		if out, err := format.CombinedOutput(); err != nil {
			return fmt.Errorf("format the storage of Kafka: %w\n%s", err, out)
		}
		n := &kafkaNode{cmd: java(i, "kafka.Kafka", file), ended: make(chan struct{})}
		n.cmd.Stdout, n.cmd.Stderr, n.cmd.WaitDelay = &n.log, &n.log, time.Second
		if err := n.cmd.Start(); err != nil {
			return err
		}
		go func() { n.cmd.Wait(); close(n.ended) }()
		c.nodes = append(c.nodes, n)
	}
	for i, n := range c.nodes {
		for _, address := range []string{c.Brokers[i], c.SASL[i], c.TLS[i]} {
			if err := n.await(address); err != nil {
				return fmt.Errorf("Kafka: %w\n%s", err, n.text())
			}
		}
	}
	return nil
}

// await returns when somebody listens at an address.
func (n *kafkaNode) await(address string) error {
	for deadline := time.Now().Add(startWithin); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-n.ended:
			return fmt.Errorf("it has ended: %w", err)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it is not ready after %v: %w", startWithin, err)
		}
	}
}

// text is what it has printed, once it has ended.
func (n *kafkaNode) text() string {
	n.kill()
	return n.log.String()
}

func (n *kafkaNode) kill() {
	syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
	<-n.ended
}

// Kill ends a broker at once.
func (c *KafkaCluster) Kill(node int) { c.nodes[node].kill() }

// end ends all brokers.
func (c *KafkaCluster) end() {
	for _, n := range c.nodes {
		select {
		case <-n.ended:
		default:
			n.kill()
		}
	}
}

// freePorts are some that nobody listens at just now.
func freePorts(count int) (ports []string, err error) {
	for range count {
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, cmp.Or(err, listenErr)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}
