package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// authenticate is step 1: the bearer token (RFC 6750 §2.1, header only) tells
// which grant this is. A token for another source is no token here.
func (g *Gateway) authenticate(x *exchange, r *http.Request) error {
	x.at("authenticate")
	bearer, err := bearerToken(r)
	if err != nil {
		return err
	}
	grant, access, scopes, err := g.tokens.Authenticate(r.Context(), bearer)
	if err != nil {
		return err
	}
	now := g.now()
	// Whatever the authenticator says, these decide who may read a record, so
	// they are looked at here too.
	if grant.Source != x.src.ID || !now.Before(grant.Expires) || !now.Before(access.Expires) {
		return fault.New(fault.Unauthenticated, "This access token is not valid here.")
	}
	x.grant, x.access = grant, access
	x.who = guard.Who{Patient: grant.Patient, Scopes: scopes, Base: x.src.Base, Now: g.now, Labels: x.src.Labels}
	// What is asked of the EHR on the way is this app's, and so is its share there.
	x.ctx = reqctx.WithParty(x.ctx, grant.Client)
	x.log.SetClient(grant.Client)
	x.trace.Asks(grant.Client, scopes)
	x.event.Client, x.event.Grant, x.event.Patient = grant.Client, grant.ID, grant.Patient
	x.event.PersonIss, x.event.PersonSub = grant.PersonIssuer, grant.PersonSubject
	return nil
}

func bearerToken(r *http.Request) (string, error) {
	if len(r.Header.Values("Authorization")) == 0 {
		return "", fault.New(fault.Unauthenticated, "An access token is needed.")
	}
	bearer, ok := handler.Bearer(r)
	if !ok || strings.ContainsAny(bearer, " ,\t") {
		return "", fault.New(fault.Unauthenticated, "The Authorization header must hold one bearer token.")
	}
	return bearer, nil
}

// authorise is step 3. Of $everything the types remain that the scopes cover;
// when none does, it is refused like any other request.
func (x *exchange) authorise() error {
	x.at("authorise")
	if !x.several {
		x.asks = []guard.Ask{x.ask}
		x.trace.Authorised(x.who, x.asks)
		return x.who.Authorise(x.ask)
	}
	x.trace.Authorised(x.who, x.asks)
	var refused error
	x.asks = slices.DeleteFunc(x.asks, func(a guard.Ask) bool {
		err := x.who.Authorise(a)
		if refused == nil {
			refused = err
		}
		return err != nil
	})
	if len(x.asks) == 0 {
		return refused
	}
	return nil
}
