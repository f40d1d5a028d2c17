// Package verify attacks a gateway as one patient, looking for anything of
// another one: with what the operator's own EHR holds about both, through the
// whole path that an app's request goes. It owns the corpus of attacks, the
// search for what may not be seen, and the report. It decides nothing and knows
// nothing of how the guard works, so that it would notice one that is broken.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// Options says what is attacked and with what.
type Options struct {
	// Gateway is what apps reach; it is called in process.
	Gateway http.Handler
	Base    string // the FHIR base at which Gateway serves the source
	Bearer  string // an access token for As, with patient/*.rs
	// EHR is asked directly, to learn what there is to look for.
	EHR upstream.Reader
	// As is the patient who attacks, Not the one of whom nothing may be seen.
	As, Not string
	// Hosts are names of the EHR that must not leave either.
	Hosts []string
	// PerType is how many of Not's resources of each type are tried; 0 means 3.
	PerType int
	// Pairs is how many times each foreign resource is timed against a missing
	// one, at least 17 for anything to be told; 0 leaves the times out.
	Pairs int
	// Undo, when not nil, lets the attack try to change records too: it puts back,
	// at the EHR itself, what turned out to be changed. Bearer then needs
	// patient/*.cruds.
	Undo upstream.Writer
	// Sensitive says of a resource whether its label withholds it; nil: none is.
	Sensitive func(*fhir.Resource) bool
	Now       func() time.Time
}

// Report is what was tried and what was found.
type Report struct {
	As, Not  string
	Began    time.Time
	Took     time.Duration
	Known    int // distinct things of Not's that were looked for
	Families []Family
}

// Family is one family of attacks; see docs/pitfalls.md for the numbers.
type Family struct {
	Number   int
	Title    string
	Requests int
	Findings []Finding
}

// Finding is one request whose answer gave something away.
type Finding struct {
	Method, Target, Body string
	Status               int
	What                 string // what kind of thing was found, never the thing itself
}

// Failed says whether anything was found.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Families, func(f Family) bool { return len(f.Findings) > 0 })
}

// Requests counts what was tried.
func (r *Report) Requests() int {
	n := 0
	for _, f := range r.Families {
		n += f.Requests
	}
	return n
}

// request is one thing to try. Check, when set, judges the answer beyond the
// search for what is known of the other patient.
type request struct {
	method, target, body string
	header               http.Header
	noToken              bool
	check                func(reply) string
}

// reply is all that an app sees.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) text() string { return fmt.Sprint(r.header, r.body) }

// Run attacks. Errors mean that it could not be tried, not that it succeeded.
func Run(ctx context.Context, o Options) (*Report, error) {
	switch {
	case o.Gateway == nil || o.EHR == nil || o.Now == nil:
		return nil, errors.New("verify: Gateway, EHR and Now are required")
	case o.As == "" || o.Not == "" || o.As == o.Not:
		return nil, errors.New("verify: two different patients are required")
	}
	if o.PerType == 0 {
		o.PerType = perType
	}
	began := o.Now()
	victim, err := learn(ctx, o.EHR, o.Not, nil)
	if err != nil {
		return nil, fmt.Errorf("verify: learning about the patient of -not, to look for: %w", err)
	}
	own, err := learn(ctx, o.EHR, o.As, o.Sensitive)
	if err != nil {
		return nil, fmt.Errorf("verify: learning about the patient of -as, who asks: %w", err)
	}
	victim.without(own)
	if err := victim.withoutDirectory(ctx, o.EHR); err != nil {
		return nil, fmt.Errorf("verify: learning about the directory: %w", err)
	}
	a := &attack{o: o, victim: victim, own: own}
	if err := a.sane(ctx); err != nil {
		return nil, err
	}
	if err := a.ownHandles(ctx); err != nil {
		return nil, err
	}
	report := &Report{As: o.As, Not: o.Not, Began: began, Known: victim.size()}
	for _, f := range families() {
		done, err := a.family(ctx, f)
		if err != nil {
			return nil, err
		}
		report.Families = append(report.Families, done)
	}
	if o.Undo != nil {
		done, err := a.writes(ctx)
		if err != nil {
			return nil, err
		}
		report.Families = append(report.Families, done...)
	}
	if o.Pairs > 0 {
		done, err := a.timing(ctx)
		if err != nil {
			return nil, err
		}
		report.Families = append(report.Families, done)
	}
	report.Took = o.Now().Sub(began)
	return report, nil
}

// attack carries out requests.
type attack struct {
	o           Options
	victim, own *knowledge
	handles     []string // the own links to files, below the base
}

// sane makes sure that there is something to find and that the token opens the
// own record: an attack that is refused everything proves nothing.
func (a *attack) sane(ctx context.Context) error {
	if a.victim.size() < 5 {
		return errors.New("verify: too little is known of the patient to look for; choose one with a fuller record")
	}
	r, err := a.send(ctx, request{target: "/Patient/" + a.o.As})
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return fmt.Errorf("verify: the own Patient answers %d, so nothing could be concluded", r.status)
	}
	return nil
}

func (a *attack) family(ctx context.Context, f family) (Family, error) {
	done := Family{Number: f.number, Title: f.title}
	for _, q := range f.requests(a) {
		r, err := a.send(ctx, q)
		if err != nil {
			return done, err
		}
		done.Requests++
		if what := a.found(q, r); what != "" {
			method := q.method
			if method == "" {
				method = http.MethodGet
			}
			done.Findings = append(done.Findings, Finding{Method: method, Target: q.target, Body: q.body, Status: r.status, What: what})
		}
	}
	return done, nil
}

// found names what an answer gives away, "" when nothing. What the request
// itself said is not given away by repeating it.
func (a *attack) found(q request, r reply) string {
	if what := a.victim.in(r.text(), q.target+" "+q.body); what != "" {
		return what
	}
	for _, host := range a.o.Hosts {
		if strings.Contains(r.text(), host) {
			return "the EHR's address"
		}
	}
	if q.check != nil {
		return q.check(r)
	}
	return ""
}

func (a *attack) send(ctx context.Context, q request) (reply, error) {
	if q.method == "" {
		q.method = http.MethodGet
	}
	target := q.target
	if !strings.HasPrefix(target, "http") {
		target = a.o.Base + target
	}
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, body)
	if err != nil {
		return reply{}, fmt.Errorf("verify: building a request of the corpus: %w", err)
	}
	req.RequestURI = req.URL.RequestURI()
	req.RemoteAddr = "127.0.0.1:0"
	if q.body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range q.header {
		req.Header[name] = values
	}
	if !q.noToken {
		req.Header.Set("Authorization", "Bearer "+a.o.Bearer)
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	serve(a.o.Gateway, w, req)
	return reply{w.status, w.header, w.body.String()}, ctx.Err()
}

// recorder is an http.ResponseWriter in memory.
type recorder struct {
	header http.Header
	status int
	begun  bool
	body   strings.Builder
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if !w.begun {
		w.begun, w.status = true, status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.begun = true
	return w.body.Write(b)
}

// serve treats a broken-off answer as the client would: what came, came.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a sentinel that is panicked with
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
}
