package authz

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// like names whose decision on what a step is about.
func (st step) like() Decision {
	return Decision{
		Client: st.app.ID, Source: st.source.ID, Patient: st.patient.ID,
		PersonIssuer: st.person.Issuer, PersonSubject: st.person.Subject,
	}
}

// remember keeps what the person said. Somebody who is not remembered is asked
// again, so it may fail.
func (s *Server) remember(ctx context.Context, st step, g token.Grant) {
	if s.o.Decisions == nil {
		return
	}
	d := st.like()
	d.Asked, d.Agreed, d.Grant, d.Expires = st.scopes.String(), g.Scopes, g.ID, g.Expires
	if err := s.o.Decisions.KeepDecision(ctx, d); err != nil {
		reqctx.From(ctx).Fail(unavailable(err, "remember a decision"))
	}
}

// remembered gives what the person said to the same question or a wider one. An
// app that wants to stay connected is always asked about (OpenID Connect Core
// 1.0 §11): it would hold its tokens already, had it been for the last answer,
// and whoever connects an app anew may want to share something else (g10 2.4,
// limited access after full access with the same app).
func (s *Server) remembered(ctx context.Context, st step) (verdict, bool, error) {
	if s.o.Decisions == nil || st.pending.SignIn.Consent || st.scopes.Has(scope.OfflineAccess) || !identifies(st) {
		return verdict{}, false, nil
	}
	d, err := s.o.Decisions.Decision(ctx, st.like(), s.o.Now())
	if errors.Is(err, token.ErrNotFound) {
		return verdict{}, false, nil
	}
	if err != nil {
		return verdict{}, false, unavailable(err, "look up a decision")
	}
	asked, had, ok := d.understood()
	if !ok || more(st.scopes, asked) {
		return verdict{}, false, nil
	}
	v := verdict{yes: true, agreed: both(st.scopes, had), until: d.Expires}
	if len(v.agreed.Resources) == 0 && len(st.scopes.Resources) > 0 {
		return verdict{}, false, nil
	}
	return v, true, nil
}

// understood reads what was kept; what cannot be read is as good as forgotten.
func (d Decision) understood() (asked, agreed scope.Set, ok bool) {
	asked, askedErr := scope.Parse(d.Asked)
	agreed, agreedErr := scope.Parse(d.Agreed)
	return asked, agreed, askedErr == nil && agreedErr == nil
}

// identifies tells whether the one who gets the answer is certainly the app: it
// proves itself with a secret or a key, or the answer goes to a host on the web
// that it owns. Whoever runs on the same device could pretend to be another app
// on it, so there the person is always asked (RFC 8252 §8.6).
func identifies(st step) bool {
	if st.app.Confidential() {
		return true
	}
	u, err := url.Parse(st.pending.RedirectURI)
	if err != nil || u.Scheme != "https" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return host != "localhost" && host != "::1" && !strings.HasPrefix(host, "127.") && !strings.HasSuffix(host, ".localhost")
}

// more tells whether something is asked for that was not asked for before.
func more(now, before scope.Set) bool {
	return slices.ContainsFunc(now.Others, func(name string) bool { return !before.Has(name) }) ||
		slices.ContainsFunc(now.Resources, func(r scope.Resource) bool { return !before.Includes(r) })
}

// both gives what is asked for and was agreed to. A wide scope comes out only
// where a wide one was agreed to.
func both(asked, agreed scope.Set) scope.Set {
	var out scope.Set
	for _, name := range asked.Others {
		if agreed.Has(name) {
			out.Others = append(out.Others, name)
		}
	}
	add := func(r scope.Resource) {
		if !slices.ContainsFunc(out.Resources, func(have scope.Resource) bool { return have.String() == r.String() }) {
			out.Resources = append(out.Resources, r)
		}
	}
	for _, r := range asked.Resources {
		if agreed.Includes(r) {
			add(r)
		}
	}
	for _, r := range agreed.Resources {
		if asked.Includes(r) && !out.Includes(r) {
			add(r)
		}
	}
	return out
}

// repeat finishes a request as the person decided the last time.
func (s *Server) repeat(w http.ResponseWriter, r *http.Request, st step, said verdict) error {
	ctx := context.WithoutCancel(r.Context())
	used, err := s.o.Pending.UsePending(ctx, st.pending.ID, s.o.Now())
	if err != nil {
		return usedUp(err)
	}
	if used.Patient != st.patient.ID {
		return gone()
	}
	return s.allow(ctx, w, r, st, said)
}
