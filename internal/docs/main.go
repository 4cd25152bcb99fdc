// Command docs writes the reference of the programs into a folder: a page of
// each and their index in cli/, completions for shells in completions/, and the
// sources of man pages, which go-md2man turns into these, in man/; and the schemas of
// records in schema/. Run it with make docs.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/host"
	"github.com/supervisor-checks/supervisor-checks/record"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: docs FOLDER")
	}
	if err := write(os.Args[1], programs()); err != nil {
		log.Fatal(err)
	}
}

// programs are all that there are.
func programs() []*cli.Program { return append(cli.Programs(), host.New()) }

// write writes the reference of programs into a folder.
func write(folder string, programs []*cli.Program) error {
	index := new(bytes.Buffer)
	fmt.Fprintf(index, "%s\n# Programs\n\n", notice)
	for _, p := range programs {
		name := p.Name()
		fmt.Fprintf(index, "- [%s](%s.md) %s\n", name, name, uncapitalized(p.Short))
		d, err := describe(p)
		if err != nil {
			return err
		}
		for path, generate := range map[string]func(io.Writer) error{
			"cli/" + name + ".md":                d.markdown,
			"man/" + name + ".1.md":              d.man,
			"completions/bash/" + name:           func(w io.Writer) error { return p.GenBashCompletionV2(w, true) },
			"completions/zsh/_" + name:           p.GenZshCompletion,
			"completions/fish/" + name + ".fish": func(w io.Writer) error { return p.GenFishCompletion(w, true) },
		} {
			text := new(bytes.Buffer)
			if err := generate(text); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if err := writeFile(filepath.Join(folder, path), text.Bytes()); err != nil {
				return err
			}
		}
	}
	files := map[string][]byte{
		"cli/README.md":                 index.Bytes(),
		"config.md":                     append([]byte(notice+"\n"), config.Reference()...),
		"supervisor-checks.schema.json": config.Schema(),
	}
	for _, kind := range record.Kinds {
		files["schema/"+string(kind)+".json"] = record.Schema(kind)
	}
	for path, text := range files {
		if err := writeFile(filepath.Join(folder, path), text); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file, in a folder that it makes.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o666)
}
