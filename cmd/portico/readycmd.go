package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
)

// runReady is `portico ready`, for containers that hold no other program to ask.
func runReady(ctx context.Context, args []string, std streams) error {
	f := flag.NewFlagSet("ready", flag.ContinueOnError)
	path := f.String("config", "portico.yaml", "the configuration `file` of the running server")
	if err := parseFlags(f, args, std.err); err != nil {
		return err
	}
	o, err := newOperator(*path, std)
	if err != nil {
		return err
	}
	var got readiness
	if err := o.call(ctx, http.MethodGet, "/readyz", nil, &got); err != nil {
		return err
	}
	for _, c := range got.Checks {
		say(std.out, "%s: %s\n", c.Name, c.State)
	}
	if !got.Ready {
		return errors.New("not ready")
	}
	return nil
}
