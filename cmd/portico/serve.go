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
)

// closeTimeout bounds how long parts may take to end after the last request.
const closeTimeout = 10 * time.Second

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

// serveAdmin serves the operator's API on a listener of its own until ctx ends;
// what it returns waits for that.
func serveAdmin(ctx context.Context, cfg *config.Config, api http.Handler, log *slog.Logger) (func() error, error) {
	if api == nil {
		return func() error { return nil }, nil
	}
	// Loopback only: the credential would travel in the clear.
	l, err := listen(ctx, listenOptions{Address: cfg.Admin.Listen, Log: log})
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	log.Info("the operator's API is ready", "listen", l.Addr().String())
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.serve(ctx, api) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, l.Close())
	}, nil
}

// newLog makes the operational log.
func newLog(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
