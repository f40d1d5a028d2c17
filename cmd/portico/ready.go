package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// part is something that a server stands on.
type part struct {
	name   string
	ping   func(context.Context) error
	needed bool // without it nothing can be served
}

// readiness is what the operator's listener tells of /readyz.
type readiness struct {
	Ready  bool    `json:"ready"`
	Checks []check `json:"checks"`
}

type check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // well, unknown, or a reason
	Needed bool   `json:"needed"`
}

// ready asks the parts now and adds what is known of EHRs and providers, which
// keep nobody from anything: taking this server out would not bring them back.
// Anybody may ask, so those who ask at the same time get one answer, and one who
// hangs up does not make it.
func (w *wiring) ready(ctx context.Context) readiness {
	got, _, _ := w.asked.Do("", func() (any, error) { return w.askParts(context.WithoutCancel(ctx)), nil })
	out, _ := got.(readiness)
	return out
}

func (w *wiring) askParts(ctx context.Context) readiness {
	out := readiness{Ready: true}
	for _, p := range w.parts {
		ctx, cancel := context.WithTimeout(ctx, pingTimeout)
		err := p.ping(ctx)
		cancel()
		c := check{Name: p.name, State: wellState, Needed: p.needed}
		if err != nil {
			c.State = "down"
			w.watch.note(p.name, "down", "the "+p.name+" cannot be used", "error", cut(err))
			out.Ready = out.Ready && !p.needed
		} else {
			w.watch.note(p.name, "", "the "+p.name+" is there")
		}
		out.Checks = append(out.Checks, c)
	}
	for name, state := range w.watch.states() {
		if !slices.ContainsFunc(out.Checks, func(c check) bool { return c.Name == name }) {
			out.Checks = append(out.Checks, check{Name: name, State: w.stateOf(name, state)})
		}
	}
	slices.SortStableFunc(out.Checks, func(a, b check) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// readyz is the terse form, for whoever balances the load.
func (w *wiring) readyz(out http.ResponseWriter, r *http.Request) {
	now := w.ready(r.Context())
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var lines []string
	if !now.Ready {
		out.WriteHeader(http.StatusServiceUnavailable)
		for _, c := range now.Checks {
			if c.Needed && c.State != wellState {
				lines = append(lines, c.Name)
			}
		}
	} else {
		lines = append(lines, "ready")
		for _, c := range now.Checks {
			if c.State != wellState && c.State != unknownState {
				lines = append(lines, "degraded "+c.Name+": "+c.State)
			}
		}
	}
	_, _ = out.Write([]byte(strings.Join(lines, "\n") + "\n")) // a client that hung up needs no answer
}

// readyzJSON is the whole of it, for operators.
func (w *wiring) readyzJSON(out http.ResponseWriter, r *http.Request) {
	now := w.ready(r.Context())
	status := http.StatusOK
	if !now.Ready {
		status = http.StatusServiceUnavailable
	}
	writeAdmin(out, r, status, now)
}
