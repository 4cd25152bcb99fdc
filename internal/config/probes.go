package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/mongo"
	"github.com/supervisor-checks/supervisor-checks/probes/mysql"
	"github.com/supervisor-checks/supervisor-checks/probes/postgres"
	"github.com/supervisor-checks/supervisor-checks/probes/redis"
	"github.com/supervisor-checks/supervisor-checks/probes/swift"
)

// defaultProbePeriod is how often a dependency is looked at where the file says nothing.
const defaultProbePeriod = 10 * time.Second

// Probe is one dependency, and how it is looked at.
type Probe struct {
	ProbeKind

	Name    string    `key:"name" need:"true" doc:"What it is called, also in unless_down."`
	Period  *Positive `key:"period" doc:"How often it is looked at. 10s where it is not given. After three of them without a result nothing is known of it."`
	Timeout *Positive `key:"timeout" doc:"How long a look may take, no longer than period. 3s where it is not given, or period if that is shorter."`
	Enabled *bool     `key:"enabled" doc:"false leaves it out."`
}

// ProbeKind is a probe of one of the kinds there are.
type ProbeKind struct {
	HTTP          *ProbeHTTP     `key:"http" doc:"What a server answers to an HTTP request."`
	TCP           *ProbeTCP      `key:"tcp" doc:"Whether a server accepts connections."`
	DNS           *ProbeDNS      `key:"dns" doc:"What a name server answers."`
	Health        *ProbeWeb      `key:"health" doc:"What another service's /_health says: that of this toolkit, or of go-philae."`
	Redis         *ProbeRedis    `key:"redis" doc:"Whether Redis answers a ping."`
	Postgres      *ProbeDB       `key:"postgres" doc:"Whether PostgreSQL answers a ping, or a query."`
	MySQL         *ProbeMySQL    `key:"mysql" doc:"Whether MySQL or MariaDB answers a ping, or a query."`
	Mongo         *ProbeMongo    `key:"mongo" doc:"Whether MongoDB answers a ping."`
	Swift         *ProbeSwift    `key:"swift" doc:"Whether OpenStack Swift lets a user in, and shows what is his."`
	Etcd          *ProbeWeb      `key:"etcd" doc:"Whether a member of etcd is healthy. url: http://127.0.0.1:2379."`
	Elasticsearch *ProbeElastic  `key:"elasticsearch" doc:"Whether Elasticsearch, or OpenSearch, answers. url: https://127.0.0.1:9200."`
	NSQ           *ProbeWeb      `key:"nsq" doc:"Whether nsqd, or nsqlookupd, answers a ping. url: http://127.0.0.1:4151."`
	Docker        *ProbeDocker   `key:"docker" doc:"Whether a Docker daemon answers a ping. url may be unix:///PATH or tcp://HOST:PORT, too."`
	GitHub        *ProbePage     `key:"github" doc:"What GitHub's status page reports."`
	GitLab        *ProbeStatusIO `key:"gitlab" doc:"What GitLab's status page reports."`
	Statuspage    *ProbePage     `key:"statuspage" doc:"What a status page at statuspage.io reports. url: https://www.githubstatus.com."`
	StatusIO      *ProbeStatusIO `key:"statusio" doc:"What a status page at status.io reports."`
	Script        *ProbeScript   `key:"script" doc:"What a program of yours says of it."`
	Sample        *ProbeSample   `key:"sample" doc:"Nothing: it is for trying things out."`
}

// prober is what a probe is made of.
type prober interface {
	probe(kind, name string, timeout time.Duration) (probes.Probe, error)
}

// given returns the probes that are given, by their keys.
func (k *ProbeKind) given() map[string]prober {
	all := make(map[string]prober)
	v := reflect.ValueOf(k).Elem()
	for _, f := range fieldsOf(v.Type()) {
		if one := v.FieldByIndex(f.index); !one.IsNil() {
			all[f.key] = one.Interface().(prober)
		}
	}
	return all
}

func (p *Probe) check(report func(key, format string, args ...any)) {
	given := p.given()
	if period := cmp.Or(time.Duration(orZero(p.Period)), defaultProbePeriod); time.Duration(orZero(p.Timeout)) > period {
		report("timeout", "%v is longer than period, %v", time.Duration(*p.Timeout), period)
	}
	switch keys := slices.Sorted(maps.Keys(given)); len(given) {
	case 0:
		var keys []string
		for _, f := range fieldsOf(reflect.TypeFor[ProbeKind]()) {
			keys = append(keys, f.key)
		}
		report("", "there is no probe; there are %s", strings.Join(slices.Sorted(slices.Values(keys)), ", "))
		return
	case 1:
	default:
		report("", "has several probes, %s: begin a new entry with a - for each", strings.Join(keys, ", "))
		return
	}
	for key, one := range given {
		made, err := one.probe(key, p.Name, probes.DefaultTimeout)
		var refused *probes.ConfigError
		var wrong *keyError
		switch {
		case errors.As(err, &refused):
			field := refused.Field
			if slices.Contains([]string{"ca_file", "cert_file", "key_file", "server_name", "insecure"}, field) {
				field = "tls." + field
			}
			report(key+"."+field, "%s", strings.NewReplacer("key-file", "key_file", "cert-file", "cert_file").Replace(refused.Err.Error()))
		case errors.As(err, &wrong):
			report(key+"."+wrong.key, "%v", wrong.error)
		case err != nil:
			report(key, "%v", err)
		default:
			probes.Close(made)
		}
	}
}

// TLSFiles is what a probe trusts, and what it shows.
type TLSFiles struct {
	CAFile     string `key:"ca_file" doc:"Certificates that are trusted in place of the system's."`
	CertFile   string `key:"cert_file" doc:"The certificate that is shown to the server, in PEM."`
	KeyFile    string `key:"key_file" doc:"Its key, in PEM."`
	ServerName string `key:"server_name" doc:"The name that the server's certificate must be for, in place of the host."`
	Insecure   bool   `key:"insecure" doc:"Accept any certificate."`
}

func (t *TLSFiles) files() *probes.TLS {
	if t == nil {
		return nil
	}
	return &probes.TLS{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, ServerName: t.ServerName, Insecure: t.Insecure}
}

// ProbeWeb is how a server is asked by HTTP.
type ProbeWeb struct {
	URL          string              `key:"url" secret:"true" doc:"http://HOST/PATH or https://HOST/PATH."`
	UnixSocket   string              `key:"unix_socket" doc:"The path of a socket in place of the host."`
	Headers      map[string][]string `key:"headers" secret:"true" doc:"Sent in place of what is otherwise sent under these names."`
	HeadersFile  string              `key:"headers_file" doc:"A file of more of them, for those that are secret: a line for each, Name: value."`
	MaxRedirects *int                `key:"max_redirects" doc:"How many redirects are followed. 5 where it is not given."`
	TLS          *TLSFiles           `key:"tls" doc:"For https."`
	Login

	CertMinValidity *Positive `key:"cert_min_validity" doc:"For how long the server's certificate must still be valid: 14d."`
	MaxLatency      *Positive `key:"max_latency" doc:"How long it may take, and be healthy."`
}

func (w *ProbeWeb) config(name string, timeout time.Duration) (cfg probes.HTTPConfig, err error) {
	cfg = probes.HTTPConfig{Name: name, URL: w.URL, UnixSocket: w.UnixSocket, Timeout: timeout,
		CertMinValidity: time.Duration(orZero(w.CertMinValidity)), MaxLatency: time.Duration(orZero(w.MaxLatency))}
	if w.MaxRedirects != nil {
		if cfg.MaxRedirects = *w.MaxRedirects; cfg.MaxRedirects == 0 {
			cfg.MaxRedirects = -1
		}
	}
	if tls := w.TLS.files(); tls != nil {
		cfg.TLS = *tls
	}
	username, password, refused := w.Login.read()
	if refused != nil {
		return cfg, refused
	}
	header, refused := headers(w.Headers, w.HeadersFile)
	if refused != nil {
		return cfg, refused
	}
	cfg.Username, cfg.Password, cfg.Header = username, password, header
	return cfg, nil
}

func (w *ProbeWeb) probe(kind, name string, timeout time.Duration) (probes.Probe, error) {
	cfg, err := w.config(name, timeout)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "etcd":
		return probes.NewEtcd(cfg)
	case "nsq":
		return probes.NewNSQ(cfg)
	}
	return probes.NewPhilae(probes.PhilaeConfig{HTTPConfig: cfg})
}

// ProbeHTTP is a probe of what a server answers to an HTTP request.
type ProbeHTTP struct {
	ProbeWeb
	Method       string            `key:"method" doc:"GET where it is not given."`
	Body         string            `key:"body" secret:"true" doc:"Sent as it is."`
	ExpectStatus string            `key:"expect_status" doc:"Status codes that are healthy: 200-299,301. 200-299 where it is not given."`
	ExpectBody   string            `key:"expect_body" doc:"A regular expression that the body must match."`
	ExpectHeader map[string]string `key:"expect_header" doc:"Regular expressions, one for a value of each header."`
	ExpectJSON   []ExpectJSON      `key:"expect_json" doc:"What must be at some places of a body in JSON. All of it must hold."`
}

// ExpectJSON is what must be at some places of a document in JSON.
type ExpectJSON struct {
	Path        string   `key:"path" need:"true" doc:"Where: $.status, $.shards[*].state, as RFC 9535 has it."`
	Equals      *Scalar  `key:"equals" doc:"What it must be: a text, a number, true or false."`
	NotEquals   *Scalar  `key:"not_equals" doc:"What it must not be."`
	LessThan    *Decimal `key:"less_than" doc:"A number that it must be less than."`
	GreaterThan *Decimal `key:"greater_than" doc:"A number that it must be more than."`
	Matches     string   `key:"matches" doc:"A regular expression that it must match."`
	Absent      bool     `key:"absent" doc:"There must be nothing there."`
}

// place is what it says.
func (j ExpectJSON) place() probes.JSON {
	place := probes.JSON{Path: j.Path, LessThan: (*float64)(j.LessThan), GreaterThan: (*float64)(j.GreaterThan), Matches: j.Matches, Absent: j.Absent}
	if j.Equals != nil {
		place.Equals = j.Equals.Value
	}
	if j.NotEquals != nil {
		place.NotEquals = j.NotEquals.Value
	}
	return place
}

func (p *ProbeHTTP) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	cfg, err := p.config(name, timeout)
	if err != nil {
		return nil, err
	}
	cfg.Method, cfg.Body, cfg.ExpectStatus, cfg.ExpectBody, cfg.ExpectHeader = p.Method, p.Body, p.ExpectStatus, p.ExpectBody, p.ExpectHeader
	for _, j := range p.ExpectJSON {
		cfg.ExpectJSON = append(cfg.ExpectJSON, j.place())
	}
	return probes.NewHTTP(cfg)
}

// ProbeElastic is a probe of Elasticsearch.
type ProbeElastic struct {
	ProbeWeb
	Status string `key:"status" doc:"What the cluster must be at least: green or yellow. A node that answers will do where it is not given."`
}

func (p *ProbeElastic) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	cfg, err := p.config(name, timeout)
	if err != nil {
		return nil, err
	}
	return probes.NewElasticsearch(probes.ElasticsearchConfig{HTTPConfig: cfg, Status: p.Status})
}

// ProbeDocker is a probe of a Docker daemon.
type ProbeDocker struct{ ProbeWeb }

func (p *ProbeDocker) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	cfg, err := p.config(name, timeout)
	if err != nil {
		return nil, err
	}
	return probes.NewDocker(cfg)
}

// ProbePage is a probe of a status page at statuspage.io.
type ProbePage struct {
	ProbeWeb
	Tolerate string `key:"tolerate" doc:"What may be reported, and what is less than that: none, maintenance, minor, major or critical. none where it is not given."`
}

func (p *ProbePage) probe(kind, name string, timeout time.Duration) (probes.Probe, error) {
	cfg, err := p.config(name, timeout)
	if err != nil {
		return nil, err
	}
	page := probes.StatuspageConfig{HTTPConfig: cfg, Tolerate: p.Tolerate}
	if kind == "github" {
		return probes.NewGitHub(page)
	}
	return probes.NewStatuspage(page)
}

// ProbeStatusIO is a probe of a status page at status.io.
type ProbeStatusIO struct {
	ProbeWeb
	Page     string `key:"page" doc:"The id of the page. That of GitLab is known."`
	Tolerate *Count `key:"tolerate" doc:"The greatest status code that is healthy: 300 is degraded performance, 400 a partial disruption. 399 where it is not given."`
}

func (p *ProbeStatusIO) probe(kind, name string, timeout time.Duration) (probes.Probe, error) {
	cfg, err := p.config(name, timeout)
	if err != nil {
		return nil, err
	}
	page := probes.StatusIOConfig{HTTPConfig: cfg, Page: p.Page, Tolerate: int(orZero(p.Tolerate))}
	if kind == "gitlab" {
		return probes.NewGitLab(page)
	}
	return probes.NewStatusIO(page)
}

// ProbeTCP is a probe of whether a server accepts connections.
type ProbeTCP struct {
	Address         string    `key:"address" doc:"HOST:PORT."`
	UnixSocket      string    `key:"unix_socket" doc:"The path of a socket in place of that."`
	TLS             *TLSFiles `key:"tls" doc:"A TLS handshake is a part of it. Write {} for what the system trusts."`
	CertMinValidity *Positive `key:"cert_min_validity" doc:"For how long the server's certificate must still be valid: 14d."`
}

func (p *ProbeTCP) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	return probes.NewTCP(probes.TCPConfig{Name: name, Address: p.Address, UnixSocket: p.UnixSocket, TLS: p.TLS.files(), CertMinValidity: time.Duration(orZero(p.CertMinValidity)), Timeout: timeout})
}

// ProbeDNS is a probe of what a name server answers.
type ProbeDNS struct {
	Host   string   `key:"host" need:"true" doc:"The name that is looked up."`
	Type   string   `key:"type" doc:"A, AAAA, CNAME, MX, NS or TXT. Any address where it is not given."`
	Server string   `key:"server" doc:"HOST:PORT of the name server, which is asked for host as it is. Where it is not given host is looked up as the system does, in /etc/hosts, too."`
	Expect []string `key:"expect" doc:"Answers of which one must be there."`
}

func (p *ProbeDNS) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	return probes.NewDNS(probes.DNSConfig{Name: name, Host: p.Host, Type: p.Type, Server: p.Server, Expect: p.Expect, Timeout: timeout})
}

// ProbeRedis is a probe of Redis.
type ProbeRedis struct {
	URL     string    `key:"url" secret:"true" doc:"redis://USER:PASSWORD@HOST:PORT/DB, rediss:// for TLS or unix:///PATH."`
	Address string    `key:"address" doc:"HOST:PORT in place of that."`
	DB      *int      `key:"db" doc:"The number of the database, with address. 0 where it is not given."`
	TLS     *TLSFiles `key:"tls" doc:"The connection is encrypted. Write {} for what the system trusts."`

	Username     string `key:"username" doc:"With address."`
	Password     string `key:"password" secret:"true" doc:"With address."`
	PasswordFile string `key:"password_file" doc:"A file that has it in its first line."`
}

func (p *ProbeRedis) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	password, err := secret(p.Password, p.PasswordFile)
	if err != nil {
		return nil, err
	}
	if p.URL != "" && p.DB != nil {
		return nil, refuse("db", "is of no use with url, which has it in its path: redis://HOST:PORT/DB")
	}
	return redis.New(redis.Config{Name: name, URL: p.URL, Address: p.Address, Username: p.Username, Password: password, DB: orZero(p.DB), TLS: p.TLS.files(), Timeout: timeout})
}

// secret is what is given itself, or in a file.
func secret(text, path string) (string, error) {
	switch {
	case text != "" && path != "":
		return "", refuse("password_file", "is of no use with password: give one of them")
	case path == "":
		return text, nil
	}
	read, err := setting.Secret(path)
	switch {
	case err != nil:
		return "", &keyError{"password_file", err}
	case read == "":
		return "", refuse("password_file", "the first line of %s is empty", path)
	}
	return read, nil
}

// ProbeDB is a probe of PostgreSQL.
type ProbeDB struct {
	DSN          string    `key:"dsn" need:"true" secret:"true" doc:"postgres://USER:PASSWORD@HOST:PORT/DB, or host=HOST dbname=DB."`
	PasswordFile string    `key:"password_file" doc:"A file that has the password in its first line."`
	TLS          *TLSFiles `key:"tls" doc:"In place of what dsn says of TLS."`
	Query        string    `key:"query" doc:"Asked for in place of a ping. It must give a row."`
}

func (p *ProbeDB) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	password, err := secret("", p.PasswordFile)
	if err != nil {
		return nil, err
	}
	return postgres.New(postgres.Config{Name: name, DSN: p.DSN, Password: password, TLS: p.TLS.files(), Query: p.Query, Timeout: timeout})
}

// ProbeMySQL is a probe of MySQL or MariaDB.
type ProbeMySQL struct {
	DSN          string    `key:"dsn" need:"true" secret:"true" doc:"USER:PASSWORD@tcp(HOST:PORT)/DB or USER@unix(/PATH)/DB."`
	PasswordFile string    `key:"password_file" doc:"A file that has the password in its first line."`
	TLS          *TLSFiles `key:"tls" doc:"The connection is encrypted. Write {} for what the system trusts."`
	Query        string    `key:"query" doc:"Asked for in place of a ping. It must give a row."`
}

func (p *ProbeMySQL) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	password, err := secret("", p.PasswordFile)
	if err != nil {
		return nil, err
	}
	return mysql.New(mysql.Config{Name: name, DSN: p.DSN, Password: password, TLS: p.TLS.files(), Query: p.Query, Timeout: timeout})
}

// ProbeMongo is a probe of MongoDB.
type ProbeMongo struct {
	URI          string    `key:"uri" need:"true" secret:"true" doc:"mongodb://USER:PASSWORD@HOST:PORT,HOST:PORT/?OPTIONS, or mongodb+srv://HOST."`
	PasswordFile string    `key:"password_file" doc:"A file that has the password in its first line."`
	TLS          *TLSFiles `key:"tls" doc:"The connection is encrypted. Write {} for what the system trusts."`
}

func (p *ProbeMongo) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	password, err := secret("", p.PasswordFile)
	if err != nil {
		return nil, err
	}
	return mongo.New(mongo.Config{Name: name, URI: p.URI, Password: password, TLS: p.TLS.files(), Timeout: timeout})
}

// ProbeSwift is a probe of OpenStack Swift.
type ProbeSwift struct {
	AuthURL        string    `key:"auth_url" need:"true" doc:"Where tokens are got: https://HOST/auth/v1.0, or https://HOST:5000/v3 of Keystone."`
	AuthVersion    *Count    `key:"auth_version" doc:"1, 2 or 3. That of auth_url where it is not given."`
	Username       string    `key:"username" need:"true" doc:"The user."`
	Key            string    `key:"key" secret:"true" doc:"The password."`
	KeyPath        string    `key:"password_file" doc:"A file that has it in its first line, in place of key."`
	Tenant         string    `key:"tenant" doc:"The project."`
	TenantID       string    `key:"tenant_id" doc:"Its id, in place of that."`
	Domain         string    `key:"domain" doc:"That of the user, and of the project."`
	DomainID       string    `key:"domain_id" doc:"Its id, in place of that."`
	TenantDomain   string    `key:"tenant_domain" doc:"That of the project, where it is another."`
	TenantDomainID string    `key:"tenant_domain_id" doc:"Its id, in place of that."`
	Region         string    `key:"region" doc:"Which one is asked. The first where it is not given."`
	Container      string    `key:"container" doc:"What is asked for. The account where it is not given."`
	TLS            *TLSFiles `key:"tls" doc:"For https."`
}

func (p *ProbeSwift) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	key, err := secret(p.Key, p.KeyPath)
	if err != nil {
		return nil, err
	}
	cfg := swift.Config{Name: name, AuthURL: p.AuthURL, AuthVersion: int(orZero(p.AuthVersion)), Username: p.Username, Key: key,
		Tenant: p.Tenant, TenantID: p.TenantID, Domain: p.Domain, DomainID: p.DomainID, TenantDomain: p.TenantDomain, TenantDomainID: p.TenantDomainID,
		Region: p.Region, Container: p.Container, Timeout: timeout}
	if tls := p.TLS.files(); tls != nil {
		cfg.TLS = *tls
	}
	return swift.New(cfg)
}

// ProbeSample is a probe of nothing.
type ProbeSample struct {
	Takes   *Duration `key:"takes" doc:"How long a look takes. No time where it is not given."`
	Healthy *bool     `key:"healthy" doc:"What it finds. true where it is not given."`
}

func (p *ProbeSample) probe(_, name string, _ time.Duration) (probes.Probe, error) {
	return probes.Sample(name, time.Duration(orZero(p.Takes)), p.Healthy == nil || *p.Healthy), nil
}

// BuiltProbe is a probe with how it is looked at.
type BuiltProbe struct {
	probes.Probe
	Period, Timeout time.Duration
}

// BuildProbes makes the probes. log is that of Config.
func (f *File) BuildProbes(log func(string)) (all []BuiltProbe, err error) {
	for i, p := range f.Probes {
		if p.Enabled != nil && !*p.Enabled {
			continue
		}
		built := BuiltProbe{Period: time.Duration(orZero(p.Period)), Timeout: time.Duration(orZero(p.Timeout))}
		built.Period = cmp.Or(built.Period, defaultProbePeriod)
		built.Timeout = cmp.Or(built.Timeout, min(probes.DefaultTimeout, built.Period))
		for key, one := range p.given() {
			if s, is := one.(*ProbeScript); is {
				one = &ProbeScript{s.Program, surroundings{f.Environment, log}}
			}
			if built.Probe, err = one.probe(key, p.Name, built.Timeout); err != nil {
				return nil, fmt.Errorf("probes[%d].%s: %w", i, key, err)
			}
		}
		all = append(all, built)
	}
	return all, nil
}

// checkProbes reports what does not fit together of probes, and of those who name them.
func (f *File) checkProbes(report func(key, format string, args ...any)) {
	names := make(map[string]bool)
	var known []string
	for i, p := range f.Probes {
		switch _, is := names[p.Name]; {
		case is:
			report(fmt.Sprintf("probes[%d].name", i), "there is a probe called %q already", p.Name)
		case p.Name == health.Supervisord:
			report(fmt.Sprintf("probes[%d].name", i), "is what the listener itself says of supervisord: call it something else")
		}
		if names[p.Name] = p.Enabled == nil || *p.Enabled; names[p.Name] {
			known = append(known, p.Name)
		}
	}
	slices.Sort(known)
	need := func(key string, wanted []string) {
		for _, name := range wanted {
			switch enabled, is := names[name]; {
			case enabled:
			case is:
				report(key, "the probe %q is not enabled", name)
			case known == nil:
				report(key, "there is no probe %q: there are none in this file", name)
			default:
				report(key, "there is no probe %q; there are %s", name, strings.Join(known, ", "))
			}
		}
	}
	need("defaults.unless_down", f.Defaults.UnlessDown)
	for i, w := range f.Watch {
		need(fmt.Sprintf("watch[%d].unless_down", i), w.UnlessDown)
		if w.Drain != nil && f.Health == nil {
			report(fmt.Sprintf("watch[%d].drain", i), "takes a process out of service, which nobody asks about: say health: {listen: …}")
		}
	}
	if f.Defaults.Drain != nil && f.Health == nil {
		report("defaults.drain", "takes processes out of service, which nobody asks about: say health: {listen: …}")
	}
	if f.Health != nil && f.Health.Gate != nil {
		need("health.gate.probes", f.Health.Gate.Probes)
	}
}
