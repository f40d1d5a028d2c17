package main

import (
	"context"
	"errors"
	"net/http"
)

// runReady is `portico ready`, for containers that hold no other program to ask.
func runReady(ctx context.Context, args []string, std streams) error {
	o, _, err := newOpFlags("ready", std.err).connect(args, std, 0, "nothing but options is taken")
	if err != nil {
		return err
	}
	var got readiness
	if err := o.call(ctx, http.MethodGet, "/readyz", nil, &got); err != nil {
		return err
	}
	for _, c := range got.Checks {
		line := c.Name + ": " + c.Result
		if c.Reason != "" {
			line += ": " + c.Reason
		}
		say(std.out, "%s\n", line)
	}
	if !got.Ready {
		return errors.New("not ready")
	}
	return nil
}
