package config

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/script"
	"github.com/supervisor-checks/supervisor-checks/probes"
	probescript "github.com/supervisor-checks/supervisor-checks/probes/script"
)

type (
	scriptProtocol string
	scriptWarning  string
	scriptVariable string // which may be empty, or look like a number
)

// Program is a program of the user's that says how something is: for a check, and for a
// probe.
type Program struct {
	Command      Words                     `key:"command" need:"true" doc:"The program with its arguments, run without a shell. In them, and in values of env and options and in dir, %(process_name)s, %(group_name)s, %(namespec)s and %(pid)s stand for those of the process, %(probe_name)s for the name of a probe, and %% for %."`
	Env          map[string]scriptVariable `key:"env" secret:"true" doc:"Variables that it gets besides our environment and those that say what it is about: SUPERVISOR_CHECK_PROCESS, _GROUP, _NAME and _PID, or SUPERVISOR_CHECK_PROBE. SUPERVISOR_USERNAME, _PASSWORD, _PROCESS_NAME and _GROUP_NAME, which are the listener's, it does not get."`
	CleanEnv     bool                      `key:"clean_env" doc:"It gets nothing of our environment but PATH."`
	Dir          string                    `key:"dir" doc:"The folder that it is run in. Ours where it is not given."`
	User         string                    `key:"user" doc:"USER or USER:GROUP that it is run as, for root only."`
	Protocol     scriptProtocol            `key:"protocol" doc:"How it says what it has found. exit, where it is not given: exit status 0 is healthy, 3, 126 and 127 are unknown (unhealthy of a probe), any other is unhealthy, and the last line that it writes says why. nagios: that of monitoring plugins. cloudprober: as exit, and each line that it prints is a metric. cloudprober-server: one process of it answers requests for all, and is begun anew when it ends. json: its last line is {\"status\": \"healthy\", \"unhealthy\", \"unknown\" or \"skipped\", \"reason\": TEXT, \"metrics\": {NAME: NUMBER}}."`
	Warning      scriptWarning             `key:"warning" doc:"What a warning of nagios means: healthy, unhealthy or unknown. healthy where it is not given."`
	Options      map[string]scriptVariable `key:"options" secret:"true" doc:"Sent to a cloudprober-server with each request."`
	ExpectOutput string                    `key:"expect_output" doc:"A regular expression that must match what it prints."`
	ExpectText   []string                  `key:"expect_text" doc:"Texts that must be in what it prints."`
	RejectText   []string                  `key:"reject_text" doc:"Texts that must not be in what it prints."`
	ExpectJSON   []ExpectJSON              `key:"expect_json" doc:"What must be at some places of what it prints, in JSON. All of it must hold."`
	OnlyIn       []string                  `key:"only_in" doc:"It is run only where environment is one of these, and skipped elsewhere: for what creates data, say. That is a status of its own, and never healthy."`
}

// config is that of the script.
func (p *Program) config(timeout time.Duration) script.Config {
	cfg := script.Config{
		Command: p.Command, Dir: p.Dir, User: p.User, CleanEnv: p.CleanEnv, Protocol: string(p.Protocol), Warning: string(p.Warning),
		ExpectOutput: p.ExpectOutput, ExpectText: p.ExpectText, RejectText: p.RejectText, OnlyIn: p.OnlyIn, Timeout: timeout,
	}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		cfg.Env = append(cfg.Env, name+"="+string(p.Env[name]))
	}
	for name, value := range p.Options {
		if cfg.Options == nil {
			cfg.Options = make(map[string]string)
		}
		cfg.Options[name] = string(value)
	}
	for _, j := range p.ExpectJSON {
		cfg.ExpectJSON = append(cfg.ExpectJSON, j.place())
	}
	return cfg
}

// Script is a check by such a program. What it leaves behind in its process group is killed.
type Script struct {
	Program
	tries

	around surroundings
}

// surroundings are what scripts are told of besides their own settings.
type surroundings struct {
	environment string
	log         func(string)
}

func (s *Script) check(report func(key, format string, args ...any)) { tryOut(s, report) }

// config says what the check is made of, for a server lasts.
func (s *Script) config(around RuleSettings) any {
	timeout, retries := s.over(around)
	return fmt.Sprint(timeout, retries, s.around.environment, identity(s.Program))
}

func (s *Script) make(around RuleSettings) (checks.Check, error) {
	timeout, retries := s.over(around)
	cfg := s.Program.config(timeout)
	cfg.Retries, cfg.Environment, cfg.Log = retries, s.around.environment, s.around.log
	return checks.NewScript(cfg)
}

// ProbeScript is a probe by such a program.
type ProbeScript struct {
	Program

	around surroundings
}

func (p *ProbeScript) probe(_, name string, timeout time.Duration) (probes.Probe, error) {
	cfg := p.config(timeout)
	cfg.Environment, cfg.Log = p.around.environment, p.around.log
	return probescript.New(name, cfg)
}
