package authz

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

const grantRefreshToken = "refresh_token"

// Sessions knows who is signed in.
type Sessions interface {
	// Online tells whether a person has a session that has not ended at now: by
	// signing out, at the provider too, or at its absolute limit.
	Online(ctx context.Context, issuer, subject string, now time.Time) (bool, error)
}

// refreshGrant exchanges a refresh token for an access token and the next
// refresh token (RFC 6749 §6; SMART App Launch 2.2, "Refresh access token").
//
// Each is good for one exchange (RFC 9700 §4.14.2: rotation), for public and
// confidential clients alike. There is no time of grace in which the last one
// is good again: in it a thief would be as good as the app. An app that lost
// the answer to an exchange asks the person again.
type refreshGrant struct{ s *Server }

func (g *refreshGrant) redeem(ctx context.Context, app client.Client, p params) (redeemed, error) {
	secret := p.get("refresh_token")
	if secret == "" {
		return redeemed{}, refuse(invalidRequest, "refresh_token is missing.")
	}
	digest, now := token.DigestOf(secret), g.s.o.Now()

	// First a look that uses nothing up: an app that asks for too much has
	// made a mistake, which must not cost the person their yes.
	var scopes string
	_, grant, err := g.s.o.Refresh.Refresh(ctx, digest, now)
	switch {
	case errors.Is(err, token.ErrNotFound): // used before, perhaps: UseRefresh tells
	case err != nil:
		return redeemed{}, unavailable(err, "look up a refresh token")
	default:
		if err := g.holder(ctx, grant, app); err != nil {
			return redeemed{}, err
		}
		if err := g.online(ctx, grant, now); err != nil {
			return redeemed{}, err
		}
		if err := g.acting(ctx, grant); err != nil {
			return redeemed{}, err
		}
		if scopes, err = narrowed(grant.Scopes, p.get("scope")); err != nil {
			return redeemed{}, err
		}
		if err := mayStay(grant.Scopes, app); err != nil {
			return redeemed{}, err
		}
		if scopes, err = stillAllowed(scopes, app); err != nil {
			return redeemed{}, err
		}
	}

	// Then the one statement that decides who has it.
	grant, err = g.s.o.Refresh.UseRefresh(ctx, digest, now)
	switch {
	case errors.Is(err, token.ErrReplayed):
		// The store has revoked the grant already; to record it comes second.
		if err := g.s.record(ctx, "refresh-replayed", grant); err != nil {
			reqctx.From(ctx).Fail(unavailable(err, "record a replay"))
		}
		return redeemed{}, errBadRefresh()
	case errors.Is(err, token.ErrNotFound):
		return redeemed{}, errBadRefresh()
	case err != nil:
		return redeemed{}, unavailable(err, "use up a refresh token")
	}
	if scopes == "" { // it came to life between the look and the use: it cannot be
		return redeemed{}, g.s.abandon(ctx, grant, errBadRefresh())
	}
	return redeemed{grant: grant, scopes: scopes, event: "token-refreshed"}, nil
}

func errBadRefresh() error {
	return refuse(invalidGrant, "The refresh token is unknown, used, expired or revoked.")
}

// holder makes sure that the app is the one the token was issued to (RFC 6749
// §6). Another app that has it got it from a leak, so the grant ends.
func (g *refreshGrant) holder(ctx context.Context, grant token.Grant, app client.Client) error {
	reason := ""
	switch {
	case grant.Client != app.ID:
		reason = "The refresh token was issued to another app."
	case !app.AllowsSource(grant.Source):
		reason = "The app is no longer registered for this FHIR base."
	default:
		return nil
	}
	if err := g.s.record(ctx, "refresh-refused", grant); err != nil {
		reqctx.From(ctx).Fail(unavailable(err, "record a refused refresh token"))
	}
	return g.s.abandon(ctx, grant, refuse(invalidGrant, "%s", reason))
}

// online ends a grant that is for as long as the person is signed in, when they
// are not any more.
func (g *refreshGrant) online(ctx context.Context, grant token.Grant, now time.Time) error {
	scopes, err := scope.Parse(grant.Scopes)
	if err != nil || scopes.Has(scope.OfflineAccess) {
		return err
	}
	online, err := g.s.o.Sessions.Online(ctx, grant.PersonIssuer, grant.PersonSubject, now)
	if err != nil {
		return unavailable(err, "ask whether a person is signed in")
	}
	if online {
		return nil
	}
	return g.s.abandon(ctx, grant, refuse(invalidGrant, "The person has signed out."))
}

// acting ends a grant whose person may not act for the patient any more: as far
// as the health system has said so since, at a sign-in of theirs or by the time
// that it had set. What cannot be told takes nothing away.
func (g *refreshGrant) acting(ctx context.Context, grant token.Grant) error {
	person := Person{Issuer: grant.PersonIssuer, Subject: grant.PersonSubject}
	patients, err := g.s.o.Patients.For(ctx, person, grant.Source)
	if err != nil {
		return unavailable(err, "ask for whom a person may act")
	}
	if slices.ContainsFunc(patients, func(p Patient) bool { return p.ID == grant.Patient }) {
		return nil
	}
	if strings.HasPrefix(grant.FHIRUser, "Practitioner/") {
		if _, ok, err := g.s.o.Patients.Launched(ctx, person, grant.Source, grant.Patient); ok || err != nil {
			return nil //nolint:nilerr // the record system is away: see above
		}
	}
	if err := g.s.record(ctx, "refresh-refused", grant); err != nil {
		reqctx.From(ctx).Fail(unavailable(err, "record a refused refresh token"))
	}
	return g.s.abandon(ctx, grant, refuse(invalidGrant, "The person may not act for this patient any more."))
}

// narrowed gives the scopes of the new access token: those of the grant, or the
// fewer that are asked for (RFC 6749 §6: not any that were not granted).
func narrowed(granted, asked string) (string, error) {
	if asked == "" {
		return granted, nil
	}
	have, err := scope.Parse(granted)
	if err != nil {
		return "", err
	}
	want, err := scope.Parse(asked)
	if err != nil {
		return "", &Error{Code: invalidScope, Description: "scope is malformed.", Status: http.StatusBadRequest, Err: err}
	}
	for _, name := range want.Others {
		if !have.Has(name) {
			return "", refuse(invalidScope, "scope has more than was granted.")
		}
	}
	for _, r := range want.Resources {
		if !have.Includes(r) {
			return "", refuse(invalidScope, "scope has more than was granted.")
		}
	}
	if want.Empty() {
		return "", refuse(invalidScope, "scope names nothing.")
	}
	return want.String(), nil
}

// stillAllowed leaves out what the app was registered for when it was granted
// and is not any more.
func stillAllowed(scopes string, app client.Client) (string, error) {
	if app.Scopes == "" {
		return scopes, nil
	}
	set, err := scope.Parse(scopes)
	if err != nil {
		return "", err
	}
	allowed, err := scope.Parse(app.Scopes)
	if err != nil {
		return "", &Error{Code: serverError, Description: "The app is not registered properly.", Status: http.StatusInternalServerError, Err: err}
	}
	set.Resources = slices.DeleteFunc(set.Resources, func(r scope.Resource) bool { return !allowed.Includes(r) })
	if set.Empty() {
		return "", refuse(invalidScope, "The app is no longer registered for any of the scopes.")
	}
	return set.String(), nil
}

// mayStay makes sure that an app that stays connected is still registered to.
func mayStay(granted string, app client.Client) error {
	if app.Scopes == "" {
		return nil
	}
	had, allowed := strings.Fields(granted), strings.Fields(app.Scopes)
	for _, name := range []string{scope.OfflineAccess, scope.OnlineAccess} {
		if slices.Contains(had, name) && slices.Contains(allowed, name) {
			return nil
		}
	}
	return refuse(invalidScope, "The app is no longer registered to stay connected.")
}

// mintRefresh makes the next refresh token, "" when the grant has none.
func (s *Server) mintRefresh(ctx context.Context, g token.Grant, now time.Time) (string, error) {
	scopes, err := scope.Parse(g.Scopes)
	if err != nil {
		return "", err
	}
	if !refreshable(scopes) {
		return "", nil
	}
	secret, digest := token.NewSecret(s.o.Rand)
	err = s.o.Refresh.CreateRefresh(ctx, g.ID, token.Refresh{
		Digest: digest, Issued: now, Expires: earlier(now.Add(s.o.RefreshTTL), g.Expires),
	})
	if errors.Is(err, token.ErrNotFound) {
		return "", refuse(invalidGrant, "The grant was revoked.")
	}
	return secret, unavailable(err, "keep a refresh token")
}
