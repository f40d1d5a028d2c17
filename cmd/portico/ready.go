package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/portico-fhir/portico/smart/token"
)

// part is something that a server stands on.
type part struct {
	name   string
	ping   func(context.Context) error
	needed bool // without it nothing can be served
}

// ailment is the error of a part that says in a word or two what is wrong. Any
// other error means that the part is down.
type ailment struct {
	reason string
	mild   bool   // it is to be known, and serving goes on
	found  string // for the log
}

// Error implements error.
func (a *ailment) Error() string { return a.reason + ": " + a.found }

// readiness is what the operator's listener tells of /readyz.
type readiness struct {
	Ready  bool    `json:"ready"`
	Checks []check `json:"checks"`
}

type check struct {
	Name   string `json:"name"`
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
	Needed bool   `json:"needed"`
}

// The results of a check. What failed is needed, and this server is not ready;
// what is degraded is to be known.
const (
	okResult       = wellState
	degradedResult = "degraded"
	failedResult   = "failed"
)

// drain says that no new connections are taken, and that the process ends when the
// requests under way are done.
func (w *wiring) drain() { w.draining.Store(true) }

// pingStore says whether state can be read and written, whether its schema is
// the one that is expected, and whether there is something to sign with. A newer
// schema is what the replicas that are replaced last find while a new version is
// rolled out: they must serve until then.
func (w *wiring) pingStore(ctx context.Context) error {
	if err := w.store.Ping(ctx); err != nil {
		return err
	}
	now, wanted, err := w.store.Schema(ctx)
	switch {
	case err != nil:
		return err
	case now < wanted:
		return &ailment{reason: "schema older", found: fmt.Sprintf("it is of version %d, and %d is expected: it was put back; start Portico anew", now, wanted)}
	}
	keys, err := w.store.Keys(ctx)
	if err != nil {
		return err
	}
	for _, alg := range token.Algorithms() {
		if !slices.ContainsFunc(keys, func(k token.Key) bool { return k.Alg == alg && k.InUse(w.clock.Now()) }) {
			return &ailment{reason: "signing key missing", found: "there is none for " + alg + ": start Portico anew, or use portico keys rotate"}
		}
	}
	if now > wanted {
		return &ailment{reason: "schema newer", mild: true, found: fmt.Sprintf("it is of version %d, and %d is expected: a newer Portico uses it; replace this one", now, wanted)}
	}
	return nil
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

// askParts asks all at once: one that hangs must not make the answer later than
// who asks is willing to wait.
func (w *wiring) askParts(ctx context.Context) readiness {
	out := readiness{Ready: true, Checks: make([]check, len(w.parts))}
	var all sync.WaitGroup
	for i, p := range w.parts {
		all.Go(func() { out.Checks[i] = w.askPart(ctx, p) })
	}
	all.Wait()
	for name, state := range w.watch.states() {
		if !slices.ContainsFunc(out.Checks, func(c check) bool { return c.Name == name }) {
			out.Checks = append(out.Checks, seen(name, w.stateOf(name, state)))
		}
	}
	listener := check{Name: "listener", Result: okResult, Needed: true}
	if w.draining.Load() {
		listener.Result, listener.Reason = failedResult, "draining"
	}
	out.Checks = append(out.Checks, listener)
	slices.SortStableFunc(out.Checks, func(a, b check) int { return strings.Compare(a.Name, b.Name) })
	out.Ready = !slices.ContainsFunc(out.Checks, func(c check) bool { return c.Result == failedResult })
	return out
}

func (w *wiring) askPart(ctx context.Context, p part) check {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := p.ping(ctx)
	if err == nil {
		w.watch.note(p.name, "", "the "+p.name+" is there")
		return check{Name: p.name, Result: okResult, Needed: p.needed}
	}
	c := check{Name: p.name, Result: degradedResult, Reason: "down", Needed: p.needed}
	var known *ailment
	if errors.As(err, &known) {
		c.Reason = known.reason
	}
	if p.needed && (known == nil || !known.mild) {
		c.Result = failedResult
	}
	w.watch.note(p.name, c.Reason, "the "+p.name+" is not as it should be", "result", c.Result, "error", cut(err))
	return c
}

// seen is what is known of an EHR or a provider.
func seen(name, state string) check {
	if state == wellState || state == unknownState {
		return check{Name: name, Result: state}
	}
	return check{Name: name, Result: degradedResult, Reason: state}
}

// readyz is the terse form, for whoever balances the load: whether, and what is
// not as it should be. It names what the configuration names, and no addresses.
func (w *wiring) readyz(out http.ResponseWriter, r *http.Request) {
	now := w.ready(r.Context())
	status, lines := http.StatusOK, []string{"ready"}
	if !now.Ready {
		status, lines[0] = http.StatusServiceUnavailable, "not ready"
	}
	for _, c := range now.Checks {
		if c.Result == failedResult || c.Result == degradedResult {
			lines = append(lines, c.Result+" "+c.Name+": "+c.Reason)
		}
	}
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.WriteHeader(status)
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
