package authz

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
)

// Refusal is why an app was refused, for its developer. It holds nothing of any
// person: it is about what the app sent before anybody's record came into it.
type Refusal struct {
	Reference string // the request's id, which the app and the page were told
	Client    string
	At        time.Time
	Place     string // "authorize", "par", "token", ...
	Code      string // the OAuth error, or "page" for what the app was not told
	Reason    string
	Expires   time.Time
}

// RefusalStore keeps refusals. authztest.RunRefusalStore holds every
// implementation to what is said here.
type RefusalStore interface {
	// NoteRefusal keeps one, and of each client the newest MaxRefusals only. A
	// reference that is taken stays what it was, without an error.
	NoteRefusal(ctx context.Context, r Refusal) error
	// Refusals gives those of one client that are good at now, the newest first.
	Refusals(ctx context.Context, client string, now time.Time) ([]Refusal, error)
}

// MaxRefusals is how many refusals of one client are kept.
const MaxRefusals = 100

// AppFinder finds apps in whatever state.
type AppFinder interface {
	// App gives one, or client.ErrUnknown.
	App(ctx context.Context, id string) (client.App, error)
}

const (
	refusalTTL = 24 * time.Hour
	// maxNoted is how many refusals of one client are kept in a minute: anybody
	// can cause one in its name.
	maxNoted = 60
)

// noting keeps why f refused an app.
func (s *Server) noting(place string, f handler.Func) handler.Func {
	if s.o.Refusals == nil || s.o.Apps == nil {
		return f
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		// Who asked is still to be seen when f has read the body.
		head, _ := io.ReadAll(io.LimitReader(r.Body, maxParametersSize+1)) // f meets the same error again
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
		err := f(w, r)
		if err == nil {
			return nil
		}
		p, parseErr := parseParams(string(head))
		if parseErr != nil {
			return err
		}
		e := oauthError(err)
		for _, id := range claimedIDs(r, p) {
			if a, err := s.o.Apps.App(r.Context(), id); err == nil {
				return s.note(r, place, a.ID, e, s.reason(a, p, e))
			}
		}
		return err
	}
}

// claimedIDs are the clients that a request says it is from.
func claimedIDs(r *http.Request, p params) []string {
	ids := []string{p.get("client_id")}
	if c, ok := basicCredentials(r); ok {
		ids = append(ids, c.ids...)
	}
	if a, err := client.ReadAssertion(p.get("client_assertion")); err == nil {
		ids = append(ids, a.Issuer())
	}
	return ids
}

// note keeps a refusal and gives it with the reference under which the
// developer finds the reason. A failure of this server is no refusal.
func (s *Server) note(r *http.Request, place, app string, e *Error, reason string) *Error {
	if s.o.Refusals == nil || e.Status >= http.StatusInternalServerError || app == "" {
		return e
	}
	reference := s.keep(r, place, app, e.Code, reason)
	if reference == "" {
		return e
	}
	told := *e
	// RFC 6749 §4.1.2.1, §5.2: a page with information about the error.
	told.uri = s.url(pathRefusals) + "?" + url.Values{"reference": {reference}}.Encode()
	return &told
}

// keep gives the reference, "" when the refusal could not be kept: the app is
// refused all the same.
func (s *Server) keep(r *http.Request, place, app, code, reason string) string {
	now := s.o.Now()
	if _, ok := s.noted.AllowKey(app, now); !ok {
		return ""
	}
	reference := reqctx.ID(r.Context())
	if reference == "" {
		reference, _ = token.NewSecret(s.o.Rand)
	}
	err := s.o.Refusals.NoteRefusal(context.WithoutCancel(r.Context()), Refusal{
		Reference: reference, Client: app, At: now, Place: place, Code: code, Reason: reason, Expires: now.Add(refusalTTL),
	})
	if err != nil {
		return ""
	}
	return reference
}

// noteProblem keeps why an app's authorization request ended on a page.
func (s *Server) noteProblem(r *http.Request, p params, err error) {
	if s.o.Refusals == nil || s.o.Apps == nil || fault.KindOf(err) == fault.Unavailable {
		return
	}
	a, findErr := s.o.Apps.App(r.Context(), p.get("client_id"))
	if findErr != nil || p.repeated("client_id") {
		return
	}
	reason := "The person saw a page instead of your app: "
	var shown *problem
	switch {
	case a.State == client.Suspended, a.State == client.Pending:
		reason += notUsable(a)
	case p.repeated("redirect_uri"):
		reason += "redirect_uri stands more than once."
	case p.get("redirect_uri") == "":
		reason += "redirect_uri is missing; it is always needed."
	case !a.AllowsRedirect(p.get("redirect_uri")):
		reason += "redirect_uri (" + withoutQuery(p.get("redirect_uri")) + ") is not registered; it is compared byte by byte."
	case errors.As(err, &shown):
		reason += shown.title + "."
	default:
		return
	}
	s.keep(r, "authorize", a.ID, "page", reason)
}

// withoutQuery shows what an app sent, but for the part that may hold anything.
func withoutQuery(uri string) string {
	uri, _, _ = strings.Cut(uri, "?")
	uri, _, _ = strings.Cut(uri, "#")
	const most = 200
	if len(uri) > most {
		uri = uri[:most] + "..."
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return '?'
		}
		return c
	}, uri)
}

func notUsable(a client.App) string {
	if a.State == client.Suspended {
		return "the app is suspended."
	}
	return "the app waits for approval."
}

// reason says to the developer what the answer did not say to whoever asked.
func (s *Server) reason(a client.App, p params, e *Error) string {
	if e.Code != invalidClient {
		return e.Description
	}
	switch {
	case a.State != client.Approved:
		return "The client is known, but " + notUsable(a)
	case errors.Is(e.Err, client.ErrAssertion):
		return "The client assertion was refused: " + assertionReason(e.Err) + "."
	case e.Err != nil:
		return "The client assertion was refused: " + e.Err.Error() + "."
	case a.Auth == client.PrivateKeyJWT:
		return "The client is registered for private_key_jwt, and sent no client_assertion."
	case a.Auth == client.Public:
		return "The client is registered as public, and sent a secret."
	case p.get("client_secret") != "" || e.basic:
		return "The client secret is wrong. It was sent " + map[bool]string{true: "in the Authorization header.", false: "in the body."}[e.basic]
	default:
		return "The client is registered with a secret, and sent none."
	}
}

// assertionReason says what is wrong with an assertion, and nothing of what is
// behind the client's jwks_uri.
func assertionReason(err error) string {
	if why := client.Reason(err); why != client.Unreadable {
		return why
	}
	return strings.TrimPrefix(err.Error(), client.ErrAssertion.Error()+": ")
}
