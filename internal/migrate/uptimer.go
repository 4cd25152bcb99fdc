package migrate

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/record/uptimer"
)

// ErrNoUptimer is the error of variables that Uptimer has no use for.
var ErrNoUptimer = errors.New("there is neither PROBE_URLS nor READER_PLUGIN: it says nothing of what Uptimer looks at")

// What Uptimer takes where nothing is said, in seconds.
const (
	uptimerInterval = 30
	uptimerTimeout  = 10
)

// without are variables that nothing here is like.
var without = []string{
	"QUEUE_PLUGIN", "POSTGRES_PAGESIZE", "POSTGRES_QUEUE_TIMEOUT", "STDOUT_TRUNCATE_SETTINGS", "DUMMY_EVENT_COUNT", "LOG_LEVEL", "UPTIMER_LOG_LEVEL", "UPTIMER_ENV",
}

// uptime is a configuration of Uptimer on its way.
type uptime struct {
	Source
	lookup   func(string) (assigned, bool)
	problems []string

	traps   []string // of all probes
	probes  []string // lines
	left    []string // lines of those that are not translated
	sinks   []string
	command []pair // how it is run: what does so, and the command
	secrets int
}

// Uptimer translates the configuration of Uptimer: the variables that the file of s sets, or
// those of its environment where it has no path. config is the path that the file is going
// to have. The error is that of the configuration's file, or ErrNoUptimer.
func Uptimer(s Source, config string) (Result, error) {
	u := &uptime{Source: s, lookup: func(name string) (assigned, bool) {
		value, is := s.Environment(name)
		return assigned{value: value}, is
	}}
	if s.Path != "" {
		text, err := s.ReadFile(s.Path)
		if err != nil {
			return Result{}, err
		}
		set, problems := readVariables(s.Path, text, s.Environment)
		for _, p := range problems {
			u.problems = append(u.problems, p.String())
		}
		u.lookup = func(name string) (assigned, bool) {
			value, is := set[name]
			return value, is
		}
	}
	if u.get("PROBE_URLS") == "" && u.get("READER_PLUGIN") == "" {
		return Result{Problems: u.problems}, ErrNoUptimer
	}
	if strings.Contains(config, " ") {
		config = quote(config)
	}
	switch reader := plugin(u.get("READER_PLUGIN"), "readers.probes.http"); reader {
	case "readers.probes.http", "readers.prober.http":
		u.look(config)
		u.write("KAFKA_WRITER_TOPIC")
	case "readers.kafka":
		u.consume(config)
	default:
		u.problem("READER_PLUGIN", "%s is none of Uptimer's that looks at something", reader)
	}
	r := Result{Problems: u.problems}
	if u.probes != nil || u.left != nil || u.sinks != nil {
		r.File = u.file()
	}
	return r, nil
}

// plugin is the name of one, without what may be left out.
func plugin(name, otherwise string) string {
	name, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(name), "uptimer.plugins."), ":")
	if name == "" {
		return otherwise
	}
	return name
}

// get returns a variable, "" where there is none.
func (u *uptime) get(name string) string {
	found, _ := u.lookup(name)
	return strings.TrimSpace(strings.ToValidUTF8(found.value, "\uFFFD"))
}

// scalar returns a variable that is one value, which may be in quotes of TOML.
func (u *uptime) scalar(name string) string {
	return one(u.get(name)).text
}

// problem is what could not be translated of a variable.
func (u *uptime) problem(name, format string, args ...any) {
	text := name + ": " + fmt.Sprintf(format, args...)
	if found, _ := u.lookup(name); found.at != "" {
		text = found.at + ": " + text
	}
	u.problems = append(u.problems, text)
}

func (u *uptime) trap(format string, args ...any) {
	u.traps = append(u.traps, fmt.Sprintf(format, args...))
}

// look translates what is looked at, and how.
func (u *uptime) look(config string) {
	period, timeout := u.seconds("PROBE_INTERVAL", uptimerInterval), u.seconds("PROBE_TIMEOUT", uptimerTimeout)
	run := "supervisor_checks run --standalone --config " + config + u.shard()
	once := "supervisor_checks once --config " + config
	switch {
	case u.get("PROBE_INTERVAL") == "":
		u.command = append(u.command, pair{"It is run so:", run}, pair{"PROBE_INTERVAL is not set: if Uptimer's settings.toml has its -1 still, it looks once, as does:", once})
	case period < 0:
		u.command = append(u.command, pair{"PROBE_INTERVAL is less than 0, and Uptimer looks once, as does:", once}, pair{"To look again and again, every period:", run})
	default:
		u.command = append(u.command, pair{"It is run so:", run})
		u.trap("PROBE_INTERVAL is Uptimer's pause after it has looked at all URLs, one after the other. Here each is looked at once in that time.")
	}
	if period <= 0 {
		period = uptimerInterval
	}
	if timeout <= 0 {
		timeout = uptimerTimeout
	}
	if timeout > period {
		u.trap("PROBE_TIMEOUT is %ds, longer than a period: no look takes longer than that here.", timeout)
		timeout = period
	}
	tls := u.tls()
	urls, regexes := listItems(u.get("PROBE_URLS")), listItems(u.get("PROBE_REGEXES"))
	if len(urls) == 0 {
		u.problem("PROBE_URLS", "there is no URL, and nothing to look at")
	}
	if n := len(regexes); n > 1 && n != len(urls) {
		u.problem("PROBE_REGEXES", "there are %d for %d URLs, which Uptimer refuses: give one for all, or one for each", n, len(urls))
		regexes = nil
	}
	if regexes != nil {
		u.trap("of an answer with a status from 400 on, and of none, Uptimer says matches_regex: true without having looked. Here it is unhealthy, " +
			"and whether it matches is not known.")
	}
	for _, r := range regexes {
		if r.plain && !isText(r.text) {
			u.trap("Uptimer reads PROBE_REGEXES as YAML, for which %s is no text, and fails. Here it is the expression, as it is written.", strconv.Quote(r.text))
		}
	}
	if value := u.get("PROBE_REGEXES"); len(regexes) > 0 && regexes[0].plain && strings.HasPrefix(value, "[") && regexes[0].text != value {
		u.trap("%s is a list, and no class of characters, for Uptimer, and here.", strconv.Quote(value))
	}
	names := make(map[string]int)
	for i, item := range urls {
		if item.text = strings.TrimSpace(item.text); item.text == "" {
			continue
		}
		regex := ""
		switch {
		case len(regexes) == 1:
			regex = regexes[0].text
		case regexes != nil:
			regex = regexes[i].text
		}
		u.probe(i+1, item.text, regex, names, tls, period, timeout)
	}
}

// probe translates the nth of PROBE_URLS.
func (u *uptime) probe(n int, text, regex string, names map[string]int, tls string, period, timeout int) {
	to, err := url.Parse(text)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Hostname() == "" {
		u.problem("PROBE_URLS", "number %d is neither http://HOST/PATH nor https://HOST/PATH", n) // which may hold a password
		return
	}
	var notes []string
	if to.User != nil && to.User.String() != "" && to.User.String() != ":" {
		u.secrets++
		variable := fmt.Sprintf("SUPERVISOR_CHECKS_SECRET_%d", u.secrets)
		text = login.ReplaceAllString(text, "${1}"+opened+variable+closed+"@")
		notes = append(notes, fmt.Sprintf("What is before the @ of this URL is not copied: give it as the variable %s.", variable))
	}
	if credentials.MatchString(text) {
		notes = append(notes, "TRAP: there seems to be a secret in the URL.")
	}
	name := uptimer.Name(to)
	if names[name]++; names[name] > 1 {
		name = fmt.Sprintf("%s#%d", name, names[name])
	}
	settings := []pair{{"url", quote(text)}}
	if regex != "" {
		settings = append(settings, pair{"expect_body", quote(regex)})
		if strings.HasSuffix(regex, "$") && !strings.HasSuffix(regex, `\$`) {
			notes = append(notes, `TRAP: $ is the very end here, and for Uptimer before a last line end, too. Write \n?$ for that.`)
		}
	}
	if tls != "" && to.Scheme == "https" {
		settings = append(settings, pair{"tls", tls})
	}
	lines := []string{"- name: " + quote(name)}
	for _, note := range notes {
		lines = append(lines, comments("  # ", note)...)
	}
	lines = append(lines, "  period: "+inSeconds(period), "  timeout: "+inSeconds(timeout), "  http: "+object(settings))
	if err := u.valid("probes:\n" + indented("  ", lines)); err != nil {
		u.problem("PROBE_URLS", "%s is not translated: %v", name, err)
		u.left = append(u.left, "")
		u.left = append(u.left, comments("# ", fmt.Sprintf("NOT TRANSLATED: %s: %v", name, err))...)
		for _, line := range lines {
			u.left = append(u.left, "#   "+line)
		}
		return
	}
	u.probes = append(u.probes, lines...)
}

// login is a URL up to the end of a user and a password.
var login = regexp.MustCompile(`^((?i:https?)://)[^/?#]*@`)

func inSeconds(seconds int) string { return duration.Short(time.Duration(seconds) * time.Second) }

// maxSeconds is more than anybody waits.
const maxSeconds = 366 * 24 * 60 * 60

// seconds reads a variable of whole seconds, otherwise where there is none or 0.
func (u *uptime) seconds(name string, otherwise int) int {
	text := u.scalar(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseFloat(text, 64) // of which Uptimer takes the whole part
	if err != nil || !(n > -maxSeconds && n < maxSeconds) {
		u.problem(name, "%q is no number of seconds: it is taken as %d", text, otherwise)
		return otherwise
	}
	if int(n) == 0 {
		return otherwise
	}
	return int(n)
}

// tls translates whose certificates are trusted; "" is what the system trusts.
func (u *uptime) tls() string {
	text := u.scalar("PROBE_TLS_VERIFY")
	switch strings.ToLower(text) {
	case "", "y", "yes", "true", "1":
		return ""
	case "n", "no", "false", "0":
		return "{insecure: true}"
	}
	return object([]pair{{"ca_file", quote(text)}})
}

// integer is the first number in a text.
var integer = regexp.MustCompile(`\d+`)

// shard translates which part of the URLs a worker looks at, as an option.
func (u *uptime) shard() string {
	switch strings.ToLower(u.scalar("DISTRIBUTED_WORKERS_ENABLED")) {
	case "1", "true", "yes", "on", "y", "t", "enabled":
	default:
		return ""
	}
	total, err := strconv.Atoi(u.scalar("DISTRIBUTED_WORKERS_TOTAL"))
	if err != nil || total < 1 {
		u.problem("DISTRIBUTED_WORKERS_TOTAL", "is no number of workers: add --shard I/N to the command yourself")
		return ""
	}
	index, err := strconv.Atoi(integer.FindString(u.scalar("DISTRIBUTED_WORKERS_INDEX")))
	switch {
	case err != nil:
		u.problem("DISTRIBUTED_WORKERS_INDEX", "has no number: add --shard I/%d to the command of each worker yourself, the first is 1", total)
		return ""
	case index >= total:
		u.problem("DISTRIBUTED_WORKERS_INDEX", "%d is not less than DISTRIBUTED_WORKERS_TOTAL, %d, and Uptimer does not start: the first worker is 0", index, total)
		return ""
	}
	return fmt.Sprintf(" --shard %d/%d", index+1, total)
}

// write translates where events go.
func (u *uptime) write(topic string) {
	switch writer := plugin(u.get("WRITER_PLUGIN"), "writers.stdout"); writer {
	case "writers.stdout":
		u.sinks = append(u.sinks, comments("# ", "In place of standard output, which is supervisord's where that runs us. Its lines are records, and not Uptimer's events.")...)
		u.sinks = append(u.sinks, "- name: file", "  kinds: probe_result", "  file: {path: /var/log/supervisor-checks.jsonl}")
	case "writers.kafka":
		u.kafka(topic)
	case "writers.postgres":
		u.postgres()
	default:
		u.problem("WRITER_PLUGIN", "%s is none of Uptimer's: there are writers.stdout, writers.kafka and writers.postgres", writer)
	}
}

func (u *uptime) postgres() {
	note := "DATABASE_URL is not copied: the environment must have it."
	if u.get("DATABASE_URL") == "" {
		note = "DATABASE_URL is not set here, and the environment must have it."
	}
	u.sinks = append(u.sinks, comments("# ", note+" The tables are others than Uptimer's, and made where they are missing.")...)
	u.sinks = append(u.sinks, "- name: postgres", "  kinds: probe_result", "  postgres: {dsn: '${DATABASE_URL}'}")
}

// kafka translates a topic.
func (u *uptime) kafka(topic string) {
	var brokers []string
	for _, i := range listItems(u.get("KAFKA_BOOTSTRAP_SERVER")) {
		for _, broker := range strings.Split(i.text, ",") {
			if broker = strings.TrimSpace(broker); broker != "" {
				brokers = append(brokers, broker)
			}
		}
	}
	for _, name := range []string{"KAFKA_BOOTSTRAP_SERVER", topic} {
		if u.scalar(name) == "" {
			u.problem(name, "is missing, and Uptimer does not start without it: the sink is left out")
			return
		}
	}
	for i, broker := range brokers {
		if !strings.Contains(broker[strings.LastIndexByte(broker, ']')+1:], ":") {
			brokers[i] += ":9092"
		}
		if brokers[i] = quote(brokers[i]); !strings.HasPrefix(brokers[i], "'") && !strings.HasPrefix(brokers[i], `"`) { // else its colon might be that of a key
			brokers[i] = "'" + brokers[i] + "'"
		}
	}
	settings := []pair{{"brokers", "[" + strings.Join(brokers, ", ") + "]"}, {"topic", quote(u.scalar(topic))}}
	switch protocol := strings.ToUpper(u.scalar("KAFKA_SECURITY_PROTOCOL")); protocol {
	case "PLAINTEXT":
	case "", "SSL":
		var files []pair
		for _, f := range []pair{{"ca_file", "KAFKA_SSL_CAFILE"}, {"cert_file", "KAFKA_SSL_CERTFILE"}, {"key_file", "KAFKA_SSL_KEYFILE"}} {
			if path := u.scalar(f.value); path != "" {
				files = append(files, pair{f.key, quote(path)})
			}
		}
		settings = append(settings, pair{"tls", object(files)})
		switch strings.ToLower(u.scalar("KAFKA_SSL_CHECK_HOSTNAME")) {
		case "", "false", "0", "no", "off":
			u.sinks = append(u.sinks, comments("# ", "TRAP: Uptimer does not look for whom the certificates of brokers are, unless KAFKA_SSL_CHECK_HOSTNAME says so. "+
				"Here they must be for the names in brokers, or for server_name.")...)
		}
	default:
		u.problem("KAFKA_SECURITY_PROTOCOL", "%s needs more than Uptimer's settings have: add sasl to the sink yourself", protocol)
	}
	if topic == "KAFKA_WRITER_TOPIC" {
		u.sinks = append(u.sinks, comments("# ", "Without format its records have more to say. supervisor_checks consume reads both; Uptimer's own consumers need it.")...)
		settings = append(settings, pair{"format", "uptimer"})
	}
	u.sinks = append(u.sinks, "- name: kafka", "  kinds: probe_result", "  kafka: "+object(settings))
}

// consume translates what takes events from Kafka to a database.
func (u *uptime) consume(config string) {
	u.kafka("KAFKA_READER_TOPIC")
	to := strings.TrimPrefix(plugin(u.get("WRITER_PLUGIN"), "writers.stdout"), "writers.")
	switch to {
	case "kafka":
		u.problem("WRITER_PLUGIN", "there is nothing here that takes events from Kafka to Kafka")
		return
	case "stdout":
		to = "file"
	}
	u.write("")
	command := "supervisor_checks consume --from kafka --to " + to
	if group := u.scalar("KAFKA_GROUP_ID"); group != "" {
		command += " --group " + quote(group)
	}
	u.command = append(u.command, pair{"It is run so:", command + " --config " + config})
	u.trap("Uptimer begins with what comes after its first start, takes events as done before the database has them, and ends at one that it cannot read. " +
		"Here a new group begins with the oldest, none is lost, and what cannot be read goes to a topic of its own.")
}

// file writes the file.
func (u *uptime) file() string {
	var b strings.Builder
	say := func(text string) { b.WriteString(indented("", comments("# ", text))) }
	from := u.Path
	if from == "" {
		from = "the environment"
	}
	say("Made by supervisor_checks migrate --from uptimer of " + from + ".")
	for _, c := range u.command {
		say(c.key)
		b.WriteString("#   " + c.value + "\n")
	}
	for _, text := range u.traps {
		say("TRAP: " + text)
	}
	if set := slices.DeleteFunc(slices.Clone(without), func(name string) bool { return u.get(name) == "" }); len(set) > 0 {
		say("Nothing here is like " + strings.Join(set, ", ") + ".")
	}
	if u.probes != nil {
		b.WriteString("probes:\n" + indented("  ", u.probes))
	}
	if u.sinks != nil {
		b.WriteString("sinks:\n" + indented("  ", u.sinks))
	}
	b.WriteString(indented("", u.left))
	return b.String()
}
