package cli

import (
	"fmt"

	"github.com/spf13/pflag"
)

// CommandLine is what a command line of a check program says.
type CommandLine struct {
	// Options are those that are given, by their full long names, each with its
	// value as it was understood, or with several where all of them count.
	Options map[string][]string

	// Ours tells that the program of that name in supervisor_checks, Python's,
	// would refuse it.
	Ours bool
}

// ReadCommandLine reads the command line of a check program, args being what follows
// its name, as the program does, but runs nothing. The error is what the program
// would say of the options; what a check refuses is not found.
func ReadCommandLine(program string, args []string) (CommandLine, error) {
	line := CommandLine{Options: make(map[string][]string)}
	for _, p := range Programs() {
		if p.Name() != program {
			continue
		}
		p.Flags().SetNormalizeFunc(completeName)
		if err := p.swallowed(args); err != nil {
			return line, err
		}
		if err := p.Flags().Parse(args); err != nil {
			return line, parseError(p.Command, err)
		}
		p.Flags().Visit(func(f *pflag.Flag) {
			_, added := f.Annotations["added"]
			line.Ours = line.Ours || added
			line.Options[f.Name] = []string{f.Value.String()}
			if all, is := f.Value.(pflag.SliceValue); is {
				line.Options[f.Name] = all.GetSlice()
			}
		})
		if err := noArguments(p.Command, p.Flags().Args()); err != nil {
			return line, err
		}
		return line, p.missing()
	}
	return line, fmt.Errorf("there is no program %q", program)
}
