// Command portico is the gateway. It owns the command line, the listener and
// the wiring; it must not decide anything about records or people.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// streams are where a command writes.
type streams struct {
	out io.Writer
	err io.Writer
}

// version is the release this is, or is on the way to.
const version = "0.1.0"

// errUsage says that the command line was wrong and that this has been said.
var errUsage = errors.New("usage")

// command is one subcommand.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, args []string, std streams) error
}

func commands() []command {
	return []command{
		{"demo", "try it: an EHR, a sign-in, an app and Portico on this machine", runDemo},
		{"serve", "run the gateway with a configuration file", runServe},
		{"apps", "list, approve, suspend and add apps at a running server", runApps},
		{"ready", "whether a running server can serve, as an exit status", runReady},
		{"sources", "whether each EHR answers a running server, and how", runSources},
		{"explain", "say how a running server decides a request, without a word of the record", runExplain},
		{"cache", "forget what is kept of a patient or a source at a running server", runCache},
		{"keys", "list and rotate the keys that sign id_tokens", runKeys},
		{"verify", "attack the configured EHR as one patient, looking for anything of another", runVerify},
		{"probe", "ask the configured EHR what its search can do, and propose a profile", runProbe},
		{"version", "print the version", runVersion},
	}
}

func main() {
	// net/http reports what an upstream sends too much on the standard logger,
	// with the beginning of it, which here is somebody's record. Portico's own
	// log is another one.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default is back, so that a second one ends a
	// process that cannot drain.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run gives the exit code: 0 for success, 1 for failure, 2 for a wrong command line.
func run(ctx context.Context, args []string, std streams) int {
	if len(args) == 0 {
		usage(std.err)
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(std.out)
		return 0
	case "-version", "--version":
		args[0] = "version"
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return exitCode(c.run(ctx, args[1:], std), c.name, std.err)
		}
	}
	say(std.err, "portico: there is no command %q\n\n", args[0])
	usage(std.err)
	return 2
}

func exitCode(err error, name string, w io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	default:
		say(w, "portico %s: %v\n", name, err)
		return 1
	}
}

func usage(w io.Writer) {
	say(w, "Portico lets patients reach their records with the apps they choose.\n\nUsage:\n")
	for _, c := range commands() {
		say(w, "  portico %-8s %s\n", c.name, c.summary)
	}
	say(w, "\nportico <command> -h tells the options of a command.\n")
}

// parseFlags reads the options of a command that takes no other arguments.
func parseFlags(f *flag.FlagSet, args []string, w io.Writer) error {
	f.SetOutput(w)
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return flag.ErrHelp
		}
		return errUsage // the flag package has said what is wrong
	}
	if f.NArg() > 0 {
		say(w, "portico %s: %q is not an option\n", f.Name(), f.Arg(0))
		f.Usage()
		return errUsage
	}
	return nil
}

// runDemo is `portico demo`; what it says is for people, so it goes to the
// standard output.
func runDemo(ctx context.Context, args []string, std streams) error {
	return demo(ctx, args, std.out)
}

func runVersion(_ context.Context, args []string, std streams) error {
	if err := parseFlags(flag.NewFlagSet("version", flag.ContinueOnError), args, std.err); err != nil {
		return err
	}
	commit := revision()
	if commit != "" {
		commit = " " + commit
	}
	say(std.out, "portico %s%s %s\n", version, commit, runtime.Version())
	return nil
}

// say writes to a terminal or a log; if that fails there is nobody to tell.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
