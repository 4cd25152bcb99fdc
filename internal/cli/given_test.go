package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name, program string
		args          []string
		want          CommandLine
		err           string
	}{
		{
			"as Python's argparse allows", "supervisor_http_check", []string{"-nx", "--process-n=a", "-u", "/", "-p=web_(\\d+)", "--time", "1_0", "-r", "0"},
			CommandLine{Options: map[string][]string{"check-name": {"x"}, "process-name": {"a"}, "url": {"/"}, "port": {`web_(\d+)`}, "timeout": {"10s"}, "num-retries": {"0"}}}, "",
		},
		{
			"ours", "supervisor_tcp_check", []string{"-n", "x", "-g", "a", "-g", "b,c", "-p", "1", "--action", "alert"},
			CommandLine{Options: map[string][]string{"check-name": {"x"}, "process-group": {"a", "b,c"}, "port": {"1"}, "action": {"alert"}}, Ours: true}, "",
		},
		{"nothing", "supervisor_tcp_check", nil, CommandLine{}, "the following arguments are required: -n/--check-name, -p/--port or --unix-socket"},
		{"too much", "supervisor_tcp_check", []string{"-n", "x", "-p", "1", "y"}, CommandLine{}, "unrecognized arguments: y"},
		{"a wrong value", "supervisor_tcp_check", []string{"-n", "x", "-p", "1", "-t", "y"}, CommandLine{}, `argument -t/--timeout: "y" is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m`},
		{"no option", "supervisor_tcp_check", []string{"-z"}, CommandLine{}, "unrecognized arguments: -z"},
		{"an option for a value", "supervisor_tcp_check", []string{"-n", "--port", "1"}, CommandLine{}, "argument -n/--check-name: expected one argument"},
		{"no program", "supervisor_x_check", nil, CommandLine{}, `there is no program "supervisor_x_check"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadCommandLine(tt.program, tt.args)
			if err != nil {
				if err.Error() != tt.err {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || tt.err != "" {
				t.Errorf("want the error %q (-want +got)\n%s", tt.err, diff)
			}
		})
	}
}
