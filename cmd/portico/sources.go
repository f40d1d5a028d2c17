package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/internal/telemetry"
)

// sourceStatus is a source as the operator's API shows it: nothing in it is about
// anybody.
type sourceStatus struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Profile      string     `json:"profile"` // of the EHR's search
	State        string     `json:"state"`   // well, unknown, or what is wrong
	FHIRVersion  string     `json:"fhir_version,omitempty"`
	Breaker      string     `json:"breaker"`
	InFlight     int        `json:"in_flight"`
	LastAnswer   *time.Time `json:"last_answer,omitempty"`
	LastFailure  *time.Time `json:"last_failure,omitempty"`
	Failure      string     `json:"failure,omitempty"`
	Milliseconds float64    `json:"latency_ms"`
	PausedFor    float64    `json:"paused_seconds,omitempty"` // the EHR asked for it
}

type sourceList struct {
	Sources []sourceStatus `json:"sources"`
}

// mountSources adds GET /sources to the operator's API.
func (w *wiring) mountSources(r *mux.Router) {
	r.HandleFunc("/sources", func(out http.ResponseWriter, req *http.Request) {
		writeAdmin(out, req, http.StatusOK, sourceList{w.sourcesNow()})
	}).Methods(http.MethodGet)
}

func (w *wiring) sourcesNow() []sourceStatus {
	out := []sourceStatus{}
	for _, s := range w.cfg.Sources {
		one := sourceStatus{ID: s.ID, Name: s.Name, Profile: cmp.Or(s.Profile, profiles.Default), State: w.stateOf("source "+s.ID, w.watch.of("source "+s.ID)), FHIRVersion: w.watch.version(s.ID), Breaker: "off"}
		if way := w.ways[s.ID]; way != nil {
			now := way.State()
			one.Breaker, one.InFlight, one.Failure = now.Breaker, now.InFlight, now.LastError
			one.LastAnswer, one.LastFailure = moment(now.LastSuccess), moment(now.LastErrorAt)
			one.Milliseconds = float64(now.Latency.Microseconds()) / 1000
			one.PausedFor = now.PausedFor.Seconds()
		}
		out = append(out, one)
	}
	return out
}

// stateOf is what the watch says of a part, unless the requests of this moment
// tell more: an EHR that is left alone is not well.
func (w *wiring) stateOf(name, watched string) string {
	id, isSource := strings.CutPrefix(name, "source ")
	if way := w.ways[id]; isSource && way != nil && watched == wellState && way.State().Breaker == "open" {
		return awayState
	}
	return watched
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// states is what the numbers tell of the sources.
func (w *wiring) states() []telemetry.SourceState {
	var out []telemetry.SourceState
	for id, way := range w.ways {
		now := way.State()
		out = append(out, telemetry.SourceState{Source: id, Breaker: now.Breaker, InFlight: now.InFlight})
	}
	return out
}

const sourcesUsage = `Usage: portico sources status [-config file] [-json]

  status    whether each EHR answers, and how

It talks to the running server, as portico apps does.
`

// runSources is `portico sources`.
func runSources(ctx context.Context, args []string, std streams) error {
	what, err := choose(args, sourcesUsage, std, "status")
	if err != nil {
		return err
	}
	f := newOpFlags("sources "+what, std.err)
	f.takesJSON()
	o, _, err := f.connect(args[1:], std, 0, "nothing but options is taken")
	if err != nil {
		return err
	}
	var got sourceList
	if err := o.call(ctx, http.MethodGet, "/sources", nil, &got); err != nil {
		return err
	}
	if f.json {
		return o.print(got)
	}
	t := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	say(t, "SOURCE\tPROFILE\tSTATE\tFHIR\tBREAKER\tLATENCY\tLAST ANSWER\tLAST FAILURE\n")
	for _, s := range got.Sources {
		failed := stampOf(s.LastFailure)
		if s.Failure != "" {
			failed += " " + s.Failure
		}
		say(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Profile, s.State, dash(s.FHIRVersion), s.Breaker, fmt.Sprintf("%.0f ms", s.Milliseconds), stampOf(s.LastAnswer), failed)
	}
	return t.Flush()
}

func stampOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}
