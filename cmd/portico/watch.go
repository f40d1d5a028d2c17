package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	// watchEvery is how often the EHRs and the providers are asked.
	watchEvery = time.Minute
	// wellEvery is the same, on average, of one that was well when it was asked:
	// a CapabilityStatement can have megabytes, and each replica asks for itself.
	wellEvery = 5 * time.Minute
	// pingTimeout is how long the store may take to say that it is there.
	pingTimeout = 2 * time.Second
	// maxCause cuts what a provider may have put into an error.
	maxCause = 400
	// fhirVersion is what the guard's tables are of.
	fhirVersion = "4.0.1"
)

// watch asks in the background whether EHRs and providers are there, and says
// so in the log once at the start and then when it changes. It keeps nobody
// from anything.
type watch struct {
	log *slog.Logger

	mu    sync.Mutex
	state map[string]string // by "source x" or "provider x"; "" is well
	// asks is how a source's EHR is asked whether it is there now, by its id. What
	// it stated is kept far longer than a minute, and outlives its going away.
	asks map[string]func(context.Context) error
	// parts is what looks at what /readyz asks, so that the log tells of it too
	// where nobody asks; nil: nothing does.
	parts func(context.Context)
	// speaks is the FHIR version by source, cut to what a version looks like.
	speaks map[string]string
	// silent are the sources whose EHR has no CapabilityStatement, by their
	// profile: there is nothing to ask, and what apps ask tells how it is.
	silent map[string]bool
}

func newWatch(log *slog.Logger) *watch {
	return &watch{log: log, state: map[string]string{}, speaks: map[string]string{}, silent: map[string]bool{}, asks: map[string]func(context.Context) error{}}
}

// start asks at once and then every now and then; what it gives ends it.
func (h *watch) start(ctx context.Context, sources map[string]upstream.Reader, providers *login.RelyingParty) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	each := func(name string, ask func(context.Context)) {
		go func() {
			for {
				ask(ctx)
				timer := time.NewTimer(h.pause(name))
				select {
				case <-ctx.Done():
					timer.Stop()
					return
				case <-timer.C:
				}
			}
		}()
	}
	if h.parts != nil {
		each("", h.parts)
	}
	for id, source := range sources {
		each("source "+id, func(ctx context.Context) { h.source(ctx, id, source) })
	}
	for id, issuer := range providers.Issuers() {
		each("provider "+id, func(ctx context.Context) { h.provider(ctx, id, issuer, providers) })
	}
	return cancel // not waited for: an EHR that does not answer must not hold up the end
}

// pause is how long after it was asked a part is asked again: long while it is
// well, more or less a fifth so that replicas do not ask together; "" is what costs
// nobody outside anything.
func (h *watch) pause(name string) time.Duration {
	if name == "" || h.of(name) != wellState {
		return watchEvery
	}
	return wellEvery*4/5 + rand.N(wellEvery*2/5) //nolint:gosec // it hides nothing
}

func (h *watch) source(ctx context.Context, id string, of upstream.Reader) {
	name := "source " + id
	if h.silent[id] {
		h.note(name, "", name+": not asked, since its profile says that it has no CapabilityStatement; whether it answers shows when apps ask")
		return
	}
	var away error
	if ask := h.asks[id]; ask != nil {
		away = ask(ctx)
	}
	known, err := of.Capabilities(ctx)
	if ctx.Err() != nil {
		return
	}
	if away != nil {
		err = away
	}
	if err == nil {
		h.mu.Lock()
		h.speaks[id] = known.FHIRVersion[:min(len(known.FHIRVersion), 20)]
		h.mu.Unlock()
	}
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		h.note(name, "no CapabilityStatement", name+": there is nothing at {fhir_base}/metadata",
			"check", "compare fhir_base with the EHR's documentation; until the EHR states what it can do, apps are told of everything that Portico knows")
	case err != nil:
		h.note(name, awayState, name+": the EHR does not answer its metadata as it should", "error", cut(err),
			"check", "fhir_base, the network between here and there, and the credential under auth")
	case known.FHIRVersion != fhirVersion:
		h.note(name, "another FHIR version", fmt.Sprintf("%s: reachable, FHIR %q", name, known.FHIRVersion),
			"check", "Portico speaks FHIR R4, version "+fhirVersion)
	default:
		h.note(name, "", name+": reachable, FHIR "+known.FHIRVersion)
	}
}

func (h *watch) provider(ctx context.Context, id, issuer string, of *login.RelyingParty) {
	err := of.Check(ctx, id)
	if ctx.Err() != nil {
		return
	}
	name := "provider " + id
	if err != nil {
		// The issuer and what the discovery document says instead are no secrets.
		h.note(name, awayState, name+": its discovery document cannot be used", "issuer", issuer, "error", cut(err),
			"check", "issuer must be, character by character, the one in {issuer}/.well-known/openid-configuration")
		return
	}
	h.note(name, "", name+": reachable", "issuer", issuer)
}

func cut(err error) string {
	text := err.Error()
	if len(text) > maxCause {
		text = text[:maxCause] + "…"
	}
	return text
}

// note logs what is new.
func (h *watch) note(name, state, text string, more ...any) {
	h.mu.Lock()
	before, known := h.state[name]
	h.state[name] = state
	h.mu.Unlock()
	switch {
	case known && before == state:
	case state == "":
		h.log.Info(text, more...)
	default:
		h.log.Warn(text, more...)
	}
}

const (
	wellState    = "ok"
	unknownState = "unknown" // not asked yet
	awayState    = "does not answer properly"
)

// of tells the state of a part by its name.
func (h *watch) of(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch state, known := h.state[name]; {
	case !known:
		return unknownState
	case state == "":
		return wellState
	default:
		return state
	}
}

// states gives all of them, by the names of the configuration.
func (h *watch) states() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	for name, state := range h.state {
		if out[name] = state; state == "" {
			out[name] = wellState
		}
	}
	return out
}

// version is what a source's EHR says it speaks, "" when it has not said yet.
func (h *watch) version(source string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.speaks[source]
}

// livez says that the process answers.
func livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // a client that hung up needs no answer
}
