package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/httpfile"
)

// Invalidator forgets what is kept of a patient at a source, or of everybody
// there when patient is "". It is called after the upstream has changed. An error
// means that other replicas may not know yet; nothing else follows from it.
type Invalidator interface {
	Invalidate(ctx context.Context, source, patient string) error
}

var _ Invalidator = (*cache.Cache)(nil)

// openCache puts what is kept of the token's patient between this request and
// the upstream. Only questions are answered from it.
func (g *Gateway) openCache(x *exchange, r *http.Request) {
	if g.cache == nil || !isGet(r) && !strings.HasSuffix(r.URL.Path, "/_search") {
		return
	}
	x.cached = g.cache.View(x.ctx, cache.Request{
		Source: x.src.ID, Patient: x.who.Patient, Upstream: x.src.Upstream, Token: g.session(x),
		Control: cache.ParseControl(r.Header.Values("Cache-Control"), r.Header.Values("Pragma")),
	})
	x.up = x.cached
}

// holdCache lets what a read fetches be kept only if it turns out to be the
// patient's: what was absent, foreign or withheld costs the same each time.
func (x *exchange) holdCache() {
	if x.cached != nil && x.ask.Interaction == guard.Read {
		x.holding = x.cached.Holding(stillTheirs(x.who, x.ask))
		x.up = x.holding
	}
}

// session is the token of a request as the cache looks at it before it fetches
// something ahead of the next one.
func (g *Gateway) session(x *exchange) cache.Token {
	if g.sessions == nil {
		return cache.Token{}
	}
	digest, until := x.access.Digest, x.access.Expires
	if x.grant.Expires.Before(until) {
		until = x.grant.Expires
	}
	return cache.Token{ID: string(digest[:]), Until: until, Active: func(ctx context.Context) (bool, error) { return g.sessions.Active(ctx, digest) }}
}

// stillTheirs says whether a later answer to the same read holds what may leave
// by itself, as the one before did. What needs a proof is looked for again when
// somebody asks.
func stillTheirs(who guard.Who, ask guard.Ask) func(body []byte) bool {
	theirs := func(r *fhir.Resource) bool {
		return r.Type() == ask.Type && r.ID() == ask.ID && who.Judge(r).Decision == guard.Keep
	}
	return func(body []byte) bool {
		r, err := fhir.ParseResource(body)
		if err != nil {
			return false
		}
		if r.Type() != "Bundle" {
			return theirs(r)
		}
		entries := fhir.NewBundleReader(bytes.NewReader(body), maxResource)
		for {
			e, err := entries.Next()
			if err != nil {
				return false
			}
			if e.Resource != nil && e.Err == nil && theirs(e.Resource) {
				return true
			}
		}
	}
}

// confirmCache is told of each resource that passed.
func (x *exchange) confirmCache() {
	if x.holding != nil {
		x.holding.Confirm()
	}
}

// denyCache is told that a read which asked the EHR gives nothing: what was kept of
// the same read is over, also for apps that have it as it left. That the scopes of
// this token do not reach it says nothing of the resource.
func (x *exchange) denyCache() {
	if x.holding != nil && !x.narrow {
		x.holding.Deny(x.ctx)
	}
}

// changed forgets what is kept of the patient after the EHR was asked for a
// change, whatever it said: a change whose outcome is not known may have been
// made. Others who stand in the resource, as in a group visit, have it in their
// records too. What cannot be forgotten now is no reason to say that the change
// failed.
func (g *Gateway) changed(x *exchange, in ...*fhir.Resource) {
	if g.cache == nil {
		return
	}
	patients := map[string]bool{x.who.Patient: true}
	for _, r := range in {
		if r == nil {
			continue
		}
		x.who.Base.EachReference(r.Root(), func(to fhir.Reference) {
			if to.Type == "Patient" {
				patients[to.ID] = true
			}
		})
	}
	for patient := range patients {
		if err := g.cache.Invalidate(x.ctx, x.src.ID, patient); err != nil {
			x.log.Fail(err)
		}
	}
}

// era tells apart what was seen of a patient before and after a change.
func (x *exchange) era() string {
	if x.cached == nil {
		return x.who.Patient
	}
	return x.who.Patient + "\x00" + x.cached.Epoch()
}

// answered is what has to be known again of an answer kept as it left.
type answered struct {
	ask    guard.Ask
	event  audit.Event // what was asked, and nothing of who asked
	counts counts
	read   *piece // without bytes; nil for a Bundle
}

// question is everything that decides an answer beside the patient's record: who
// asks with which rights, and each part of the request that is looked at. ok is
// false when the request is not one that could have been kept.
func (g *Gateway) question(x *exchange, r *http.Request, path string) (parts []string, ok bool) {
	if x.cached == nil || x.trace != nil || refuseOverrides(r) != nil || r.Header.Get("Range") != "" {
		return nil, false // who asks for a trace wants the steps
	}
	method, body := http.MethodGet, []byte(nil)
	if !isGet(r) {
		method = r.Method
		var err error
		body, err = io.ReadAll(io.LimitReader(r.Body, maxQuery+1))
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
		if err != nil || len(body) > maxQuery {
			return nil, false
		}
	}
	parts = []string{x.grant.ID, x.grant.Client, x.who.Scopes.String(), method, path, r.URL.RawQuery, string(body)}
	for _, name := range []string{"Accept", "Prefer", "Content-Type"} {
		parts = append(parts, strings.Join(r.Header.Values(name), "\n"))
	}
	return parts, true
}

// again gives the answer to the same question by the same app with the same
// rights, if nothing that is known of has changed since; otherwise nil. It was
// judged and rewritten then. What of the request only chooses between the answer
// and "not modified" is looked at now.
func (g *Gateway) again(x *exchange, r *http.Request, path string) *held {
	g.openCache(x, r)
	parts, ok := g.question(x, r, path)
	if !ok {
		return nil
	}
	x.question = parts
	kept := x.cached.Released(parts...)
	if kept == nil {
		return nil
	}
	was, ok := kept.Meta.(*answered)
	if !ok {
		return nil
	}
	x.ask, x.counts = was.ask, was.counts
	x.event.Interaction, x.event.Type = was.event.Interaction, was.event.Type
	x.event.ResourceID, x.event.Query = was.event.ResourceID, was.event.Query
	x.log.SetInteraction(was.event.Interaction)
	if was.read != nil {
		x.conditions = httpfile.ConditionsOf(r)
	}
	x.repeated = true
	return &held{head: kept.Bytes, whole: true, read: was.read}
}

// keep keeps an answer for again: one that is held whole, and that does not
// depend on what time it is.
func (g *Gateway) keep(x *exchange, h *held) {
	if x.question == nil || !h.whole || slices.ContainsFunc(x.asks, approximate) {
		return
	}
	meta := &answered{ask: x.ask, counts: x.counts, event: audit.Event{
		Interaction: x.event.Interaction, Type: x.event.Type, ResourceID: x.event.ResourceID, Query: x.event.Query,
	}}
	if h.read != nil {
		bare := *h.read
		bare.bytes = nil
		meta.read = &bare
	}
	x.cached.Keep(cache.Released{Bytes: h.head, Meta: meta, Before: x.linkEnds}, x.question...)
}

// approximate says whether a search has a date prefix that is relative to now.
func approximate(a guard.Ask) bool {
	return slices.ContainsFunc(a.Query.Params, func(p search.Param) bool {
		return slices.ContainsFunc(p.Values, func(v string) bool { return strings.HasPrefix(v, "ap") })
	})
}

// cacheHeaders says where the answer came from (RFC 9211, RFC 9111 §5.1).
func (x *exchange) cacheHeaders(h http.Header) {
	if x.cached == nil {
		return
	}
	s := x.cached.Status()
	for name, value := range map[string]string{"Cache-Status": s.CacheStatus(), "Age": s.Age(), "Warning": s.Warning()} {
		if value != "" {
			h.Set(name, value)
		}
	}
}

// tellCache says in the log and in a trace where the answer came from.
func (x *exchange) tellCache() {
	if x.cached == nil {
		return
	}
	s := x.cached.Status()
	if s.Word() == "" {
		return
	}
	class := "upstream"
	if x.repeated {
		class = "answer"
	}
	x.log.SetCache(s.Word())
	x.trace.Cached(class, s.Word(), s.Seconds())
}
