package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// How long Portico takes to end, once the requests under way are done or cut: what
// listens beside the public port, and then the parts.
const (
	sideDrain    = 2 * time.Second
	closeTimeout = 10 * time.Second
)

// runServe is `portico serve`.
func runServe(ctx context.Context, args []string, std streams) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	path := f.String("config", "portico.yaml", "the configuration `file`; docs/portico.example.yaml explains every key")
	if err := parseFlags(f, args, std.err); err != nil {
		return err
	}
	cfg, err := config.LoadWith(*path, checks())
	if err != nil {
		return loadError(err)
	}
	return serve(ctx, cfg, newLog(cfg.Log, std.err))
}

// loadError puts each problem of a configuration on its own line.
func loadError(err error) error {
	var problems *config.Error
	if errors.As(err, &problems) {
		return fmt.Errorf("the configuration cannot be used\n%w", err)
	}
	return err
}

// serve runs Portico as configured until ctx ends.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	// The listener comes first: a port that is taken is found out before
	// anything else has begun.
	l, err := listen(ctx, listenOptions{
		Address: cfg.Listen, TLS: cfg.TLS, InsecurePlainHTTP: cfg.InsecurePlainHTTP, Log: log,
	})
	if err != nil {
		return err
	}
	a, err := build(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	stopAdmin, err := serveAdmin(ctx, cfg, a.Admin, log)
	if err != nil {
		return errors.Join(err, l.Close(), a.Close(ctx))
	}
	stopMetrics, err := serveMetrics(ctx, cfg, a, log)
	if err != nil {
		return errors.Join(err, l.Close(), stopAdmin(), a.Close(ctx))
	}
	log.Info("Portico is ready", "version", version, "public_url", cfg.PublicURL, "listen", l.Addr().String(), "tls", cfg.TLS != nil)
	stopWatch := a.parts.watch.start(ctx, a.parts.upstreams, a.parts.signedIn)
	forget := context.AfterFunc(ctx, a.parts.drain)
	defer forget()
	err = l.serve(ctx, a.Handler)
	stopWatch()
	// Requests are done or were cut; what they began must still be written.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err = errors.Join(err, l.Close(), stopAdmin(), stopMetrics(), a.Close(closing))
	if err == nil {
		log.Info("Portico has stopped")
	}
	return err
}

// serveAdmin serves the operator's API on a listener of its own until what it
// returns is called, which is after the public listener has drained: until then
// the operator can see how that goes.
func serveAdmin(ctx context.Context, cfg *config.Config, api http.Handler, log *slog.Logger) (func() error, error) {
	if api == nil {
		return func() error { return nil }, nil
	}
	// Loopback only: the credential would travel in the clear.
	l, err := listen(ctx, listenOptions{Address: cfg.Admin.Listen, Log: log.With("listener", "admin"), Drain: sideDrain})
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	log.Info("the operator's API is ready", "listen", l.Addr().String())
	return l.background(ctx, api), nil
}

// newLog makes the operational log.
func newLog(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	// What an error of a driver or of the standard library quotes is not for a log,
	// wherever it is logged. Those of a start and of what the operator wrote into the
	// configuration are given as texts, and stay.
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(reqctx.Scrub(err.Error()))
		}
		return a
	}}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
