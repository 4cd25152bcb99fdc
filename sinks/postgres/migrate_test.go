package postgres

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/sinks"
)

func TestSchemasFit(t *testing.T) {
	for _, tt := range []struct {
		version int64
		says    string // "" for no error
	}{{2, "run supervisor_checks migrate-db"}, {3, ""}, {4, "update this program"}} {
		err := fits(tt.version, 3)
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("version %d: error %v, want %q", tt.version, err, tt.says)
		}
	}
	if files, err := fs.Glob(migrations, "migrations/*.sql"); len(files) != schema {
		t.Errorf("there are migrations %q, error %v, and the version is %d", files, err, schema)
	}
}
