package main

import (
	"errors"
	"flag"
	"io"
	"slices"
)

// opFlags are the options of the commands that talk to a running server.
type opFlags struct {
	*flag.FlagSet
	config string
	source string // the source that -source names, or the only one
	json   bool
}

// newOpFlags makes the options of a command: -config, and what is added to them.
func newOpFlags(name string, w io.Writer) *opFlags {
	f := &opFlags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.SetOutput(w)
	f.StringVar(&f.config, "config", "portico.yaml", "the configuration `file` of the running server")
	return f
}

// takesJSON adds -json.
func (f *opFlags) takesJSON() { f.BoolVar(&f.json, "json", false, "print JSON") }

// takesSource adds -source.
func (f *opFlags) takesSource() {
	f.StringVar(&f.source, "source", "", "the `id` of the source; may be left out when there is one")
}

// connect reads the arguments, of which wanted are not options and may stand
// before, between or behind these, and gives who talks to the server. problem says
// what is missing when there are more or fewer of them.
func (f *opFlags) connect(args []string, std streams, wanted int, problem string) (*operator, []string, error) {
	var rest []string
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, nil, flag.ErrHelp
		} else if err != nil {
			return nil, nil, errUsage // the flag package has said what is wrong
		}
		if f.NArg() == 0 {
			break
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	if len(rest) != wanted {
		say(std.err, "portico %s: %s\n", f.Name(), problem)
		f.Usage()
		return nil, nil, errUsage
	}
	o, cfg, err := newOperator(f.config, std)
	if err != nil {
		return nil, nil, err
	}
	if f.Lookup("source") != nil {
		src, err := pickSource(cfg, f.source)
		if err != nil {
			return nil, nil, err
		}
		f.source = src.ID
	}
	return o, rest, nil
}

// asksHelp says whether the first of the arguments asks what a command does.
func asksHelp(args []string) bool {
	return len(args) > 0 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0])
}

// choose gives the first argument if it is one of these, and otherwise says how
// the command is used, with what is to be returned then.
func choose(args []string, usage string, std streams, of ...string) (string, error) {
	switch {
	case asksHelp(args):
		say(std.out, "%s", usage)
		return "", flag.ErrHelp
	case len(args) > 0 && slices.Contains(of, args[0]):
		return args[0], nil
	case len(args) > 0:
		say(std.err, "portico: there is no %q\n\n%s", args[0], usage)
	default:
		say(std.err, "%s", usage)
	}
	return "", errUsage
}
