package config

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/postgres"
)

// SinkPostgres is a PostgreSQL.
type SinkPostgres struct {
	DSN          string    `key:"dsn" secret:"true" doc:"postgres://USER:PASSWORD@HOST:PORT/DB, or host=HOST dbname=DB."`
	DSNFile      string    `key:"dsn_file" doc:"A file that has it in its first line."`
	PasswordFile string    `key:"password_file" doc:"A file that has the password in its first line."`
	TLS          *TLSFiles `key:"tls" doc:"In place of what dsn says of TLS."`
	Retention    *Positive `key:"retention" doc:"How long records are kept: 90d. They go by weeks, when a whole one is older. For ever where it is not given."`
}

func (p *SinkPostgres) check(report func(key, format string, args ...any)) {
	made, err := p.write()
	if err == nil {
		made.Close()
		return
	}
	var wrong *keyError
	if errors.As(err, &wrong) {
		report(wrong.key, "%v", wrong.error)
	} else {
		report("dsn", "%v", err)
	}
}

func (p *SinkPostgres) open(context.Context) (sinks.Reader, error) {
	cfg, err := p.Config()
	if err != nil {
		return nil, err
	}
	return postgres.Open(cfg)
}

func (p *SinkPostgres) write() (sinks.Writer, error) {
	cfg, err := p.Config()
	if err != nil {
		return nil, err
	}
	return postgres.New(cfg)
}

// Config is what the sink, and who migrates or reads its database, is made of.
func (p *SinkPostgres) Config() (cfg postgres.Config, err error) {
	cfg = postgres.Config{DSN: p.DSN, Retention: time.Duration(orZero(p.Retention))}
	switch {
	case p.DSN != "" && p.DSNFile != "":
		return cfg, refuse("dsn_file", "is of no use with dsn: give one of them")
	case p.DSN == "" && p.DSNFile == "":
		return cfg, refuse("dsn", "is missing: give it, or dsn_file")
	case p.DSNFile != "":
		if cfg.DSN, err = setting.Secret(p.DSNFile); err == nil && cfg.DSN == "" {
			err = fmt.Errorf("the first line of %s is empty", p.DSNFile)
		}
		if err != nil {
			return cfg, &keyError{"dsn_file", err}
		}
	}
	if cfg.Password, err = secret("", p.PasswordFile); err != nil {
		return cfg, err
	}
	if files := p.TLS.files(); files != nil {
		cfg.TLS, err = sinkTLS("postgres", *files)
	}
	return cfg, err
}

// sinkTLS reads the files of a sink, or says which will not do.
func sinkTLS(sink string, files probes.TLS) (*tls.Config, error) {
	made, err := probes.TLSConfig(sink, files, "")
	var wrong *probes.ConfigError
	if errors.As(err, &wrong) {
		return nil, &keyError{"tls." + wrong.Field, wrong.Err}
	}
	return made, err
}
