package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"sync"

	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// serveCallback is GET /login/callback, where the provider sends the browser
// back (OpenID Connect Core 3.1.2.5). The steps:
//
//  1. the sign-in must have begun in this browser (state and sealed cookie),
//  2. the answer must come from the provider that was asked (RFC 9207) and be
//     no error,
//  3. the code is exchanged and what comes back is verified,
//  4. any session that the browser had ends,
//  5. the person's links are renewed,
//  6. a session with a new id begins.
func (p *RelyingParty) serveCallback(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for _, name := range []string{"state", "code", "error", "iss"} {
		if len(query[name]) > 1 { // RFC 6749 3.1
			return stale(errors.New("a parameter of the callback is repeated"))
		}
	}
	f, err := p.takeFlight(w, r, query.Get("state"))
	if err != nil {
		return stale(err)
	}
	at, found := p.serving(f.Source, f.Provider)
	if !found {
		return stale(errors.New("the provider is no longer configured"))
	}
	reqctx.From(r.Context()).SetSource(f.Source)
	ready, err := at.discover(r.Context())
	if err != nil {
		return p.down(at, f.request(), err)
	}
	if err := checkAnswer(at, ready, query); err != nil {
		return err.again(f.request())
	}
	who, refused := at.identify(r.Context(), ready, query.Get("code"), f)
	if refused != nil {
		return refused.again(f.request())
	}
	if err := p.endSession(w, r); err != nil {
		return err
	}
	sources, refused := p.enrol(r.Context(), at, f.Source, who)
	if refused != nil {
		again := f.request()
		if fault.KindOf(refused) == fault.Forbidden {
			// The provider knows this person now; without asking it would send the
			// one without a record each time.
			again.Login, refused.other = true, true
		}
		return refused.again(again)
	}
	if err := p.beginSession(w, r, at, who, sources); err != nil {
		return err
	}
	noStore(w)
	http.Redirect(w, r, p.o.PublicURL+f.ReturnTo, http.StatusSeeOther)
	return nil
}

func stale(cause error) *problem {
	return fail(fault.Invalid, "This sign-in cannot be continued",
		"It was finished or left open for too long, or it began in another browser. Please go back to the app and start again.", cause)
}

// checkAnswer looks at the authorization response before its code is used.
func checkAnswer(at *provider, ready *discovered, query url.Values) *problem {
	// RFC 9207 2.4: iss must be the issuer, on errors too, and must be there
	// when the provider says that it sends one.
	if query.Has("iss") || ready.sendsIss {
		if query.Get("iss") != at.Issuer {
			return untrusted(errors.New("iss of the callback is missing or another issuer"))
		}
	}
	if query.Has("error") {
		return refusal(query.Get("error"))
	}
	if query.Get("code") == "" {
		return untrusted(errors.New("neither code nor error in the callback"))
	}
	return nil
}

// refusal turns an error response (OpenID Connect Core 3.1.2.6, RFC 6749
// 4.1.2.1) into a page. error_description is free text that anybody could have
// put into the URL, so it is not shown.
func refusal(code string) *problem {
	switch code {
	case "access_denied":
		return fail(fault.Forbidden, "You have not signed in",
			"The sign-in was cancelled or refused. Nothing has been shared.", errors.New("access_denied"))
	case "temporarily_unavailable", "server_error":
		return fail(fault.Unavailable, "Signing in is not possible right now",
			"The sign-in service reports a problem. Please try again in a few minutes.", errors.New(code))
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope",
		"login_required", "interaction_required", "consent_required", "account_selection_required":
	default:
		code = "an unknown error code"
	}
	return fail(fault.Upstream, "The sign-in was refused",
		"The sign-in service did not accept the request of this site. If this happens again, please tell the health system's support.", errors.New(code))
}

// enrol renews the person's links at every source of the provider and gives the
// sources at which that worked. The one the person came for must be among them.
func (p *RelyingParty) enrol(ctx context.Context, at *provider, asked string, who identity) ([]string, *problem) {
	person := enroll.Person{Issuer: who.issuer, Subject: who.subject, Name: who.name}
	errs := make([]error, len(at.Sources))
	limit := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for i, source := range at.Sources {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			defer func() { // a panic here would end the whole process
				if v := recover(); v != nil {
					errs[i] = fault.Wrap(&handler.Panic{Value: v}, fault.Internal, "Your record could not be looked up.")
				}
			}()
			errs[i] = p.o.Enroller.SignedIn(ctx, source, person, who.claims)
		})
	}
	wg.Wait()
	var renewed []string
	for i, source := range at.Sources {
		if errs[i] == nil {
			renewed = append(renewed, source)
			continue
		}
		if source == asked {
			return nil, notEnrolled(errs[i])
		}
	}
	return renewed, nil
}

func notEnrolled(err error) *problem {
	detail := fault.PublicOf(err)
	switch kind := fault.KindOf(err); kind {
	case fault.NotFound, fault.Forbidden:
		if detail == "" {
			detail = "No record could be found for this account."
		}
		// 403: the page is there, the person is known, but has no record here.
		return fail(fault.Forbidden, "No record was found for you", detail, err)
	case fault.Upstream, fault.UpstreamTimeout, fault.Unavailable:
		if detail == "" {
			detail = "The health record does not answer. Please try again in a few minutes."
		}
		return fail(fault.Unavailable, "Your record cannot be reached right now", detail, err)
	default:
		return fail(fault.Internal, "Something went wrong", "You are signed in, but this site could not look up your record.", err)
	}
}

// beginSession starts a session under an id that nobody has seen before, so
// that an id planted in the browser earlier is worth nothing.
func (p *RelyingParty) beginSession(w http.ResponseWriter, r *http.Request, at *provider, who identity, sources []string) error {
	id, err := p.secret()
	if err != nil {
		return err
	}
	now, digest := p.o.Now(), sha256.Sum256([]byte(id))
	err = p.o.Sessions.CreateSession(r.Context(), Session{
		Digest: digest, Provider: at.ID, Issuer: who.issuer, Subject: who.subject, Name: who.name,
		Sources: sources, AuthTime: who.authTime, ACR: who.acr, AMR: who.amr, SID: who.sid,
		IDToken: p.idTokens.SealText([]byte(who.idToken), string(digest[:])), Created: now, Seen: now, Expires: now.Add(p.o.Absolute),
	})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "The sign-in could not be kept. Please try again in a few minutes.")
	}
	// No Max-Age: the cookie goes when the browser is closed, which matters
	// where a computer is shared.
	p.setCookie(w, p.sessionCookie(), id, 0)
	return nil
}
