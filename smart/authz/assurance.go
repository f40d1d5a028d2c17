package authz

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portico-fhir/portico/smart/scope"
)

// signInSkew is how far the clock of an identity provider may be behind.
const signInSkew = 10 * time.Second

// SignInDemand is what an app asks of a sign-in (OpenID Connect Core 1.0
// §3.1.2.1). The zero value asks nothing.
type SignInDemand struct {
	Login         bool     `json:"login,omitempty"`          // prompt=login
	Consent       bool     `json:"consent,omitempty"`        // prompt=consent: ask even who decided before
	SelectAccount bool     `json:"select_account,omitempty"` // prompt=select_account
	MaxAge        *int64   `json:"max_age,omitempty"`        // seconds
	LoginHint     string   `json:"login_hint,omitempty"`
	ACRValues     []string `json:"acr_values,omitempty"` // wished for, in order of preference; no duty
}

// SignInRequest says how somebody is to sign in.
type SignInRequest struct {
	Source   string
	ReturnTo string // path on this server
	Leave    string // path on this server, for a person who cannot sign in or gives up; "" for nowhere
	SignInDemand
}

// Assurance says how sure a sign-in must be: its acr is one of ACR, or its amr
// holds one of AMR. The zero value takes every sign-in.
type Assurance struct {
	ACR []string
	AMR []string
}

// MetBy tells whether a person signed in so.
func (a Assurance) MetBy(p Person) bool {
	if len(a.ACR) == 0 && len(a.AMR) == 0 {
		return true
	}
	return slices.Contains(a.ACR, p.ACR) || slices.ContainsFunc(p.AMR, func(m string) bool { return slices.Contains(a.AMR, m) })
}

// StepUp asks for more when an app asks for any of Scopes.
type StepUp struct {
	Scopes scope.Set
	Assurance
}

// touches tells whether something that is asked for lies in s, in whole or in
// part: a wildcard touches each type, and patient and user level open the same
// record here.
func (s StepUp) touches(asked scope.Set) bool {
	for _, name := range s.Scopes.Others {
		if asked.Has(name) {
			return true
		}
	}
	for _, mine := range s.Scopes.Resources {
		for _, r := range asked.Resources {
			sameType := mine.Type == r.Type || mine.Type == scope.AnyType || r.Type == scope.AnyType
			sameReach := mine.Level == r.Level || (mine.Level != scope.System && r.Level != scope.System)
			if sameReach && sameType && mine.Access&r.Access != 0 {
				return true
			}
		}
	}
	return false
}

// assurances lists what a sign-in at a source must be for these scopes.
func (src Source) assurances(asked scope.Set) []Assurance {
	out := []Assurance{src.SignIn}
	for _, s := range src.StepUp {
		if s.touches(asked) {
			out = append(out, s.Assurance)
		}
	}
	return out
}

// satisfied tells whether the person of st signed in as this request wants.
func (st step) satisfied() bool {
	p := st.person
	switch {
	case p.AuthTime.Before(st.pending.SignedInAfter):
		return false
	case st.pending.SignIn.again() && p.Since.Before(st.pending.Created):
		return false
	}
	return st.assured()
}

func (st step) assured() bool {
	return !slices.ContainsFunc(st.source.assurances(st.scopes), func(a Assurance) bool { return !a.MetBy(st.person) })
}

// signInRequest is what the provider is asked: the app's demand and, first of
// the acr values, those without which it would be for nothing.
func (st step) signInRequest(returnTo string) SignInRequest {
	q := SignInRequest{Source: st.source.ID, ReturnTo: returnTo, SignInDemand: st.pending.SignIn}
	var acr []string
	for _, a := range st.source.assurances(st.scopes) {
		for _, value := range a.ACR {
			if !slices.Contains(acr, value) {
				acr = append(acr, value)
			}
		}
	}
	if len(acr) > 0 {
		q.ACRValues = acr
	}
	return q
}

// maxHint is longer than any e-mail address.
const maxHint = 320

// readDemand reads prompt, max_age, login_hint and acr_values; none says that
// prompt=none was among them.
func readDemand(p params) (d SignInDemand, none bool, err error) {
	if text := p.get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return d, false, refuse(invalidRequest, "max_age must be a number of seconds.")
		}
		age := int64(seconds)
		d.MaxAge = &age
	}
	prompts := strings.Fields(p.get("prompt"))
	for _, value := range prompts {
		switch value {
		case "consent":
			d.Consent = true
		case "select_account":
			d.SelectAccount = true
		case "login":
			d.Login = true
		case "none":
			if len(prompts) > 1 {
				return d, false, refuse(invalidRequest, "prompt=none stands alone.")
			}
			none = true
		default:
			return d, false, refuse(invalidRequest, "prompt has an unknown value.")
		}
	}
	d.LoginHint = p.get("login_hint")
	if len(d.LoginHint) > maxHint || !utf8.ValidString(d.LoginHint) || strings.ContainsFunc(d.LoginHint, unicode.IsControl) {
		return d, false, refuse(invalidRequest, "login_hint must be a short text.")
	}
	if text := p.get("acr_values"); text != "" {
		if len(text) > maxHint || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return d, false, refuse(invalidRequest, "acr_values must be a short list of names.")
		}
		d.ACRValues = strings.Fields(text)
	}
	return d, none, nil
}

// again tells whether the person must go to the provider, however lately they
// came from there.
func (d SignInDemand) again() bool {
	return d.Login || d.SelectAccount || (d.MaxAge != nil && *d.MaxAge == 0)
}

// signedInAfter is how old a sign-in may be.
func (d SignInDemand) signedInAfter(now time.Time) time.Time {
	switch {
	case d.Login:
		return now.Add(-signInSkew)
	case d.MaxAge != nil:
		return now.Add(-time.Duration(*d.MaxAge) * time.Second).Add(-signInSkew)
	}
	return time.Time{}
}

// promptNone answers prompt=none: consent is asked for each time, so it is
// always refused.
func (s *Server) promptNone(r *http.Request, source Source) error {
	if _, ok := s.o.SignIn.Current(r, source.ID); !ok {
		return refuse(loginRequired, "Nobody is signed in.")
	}
	return refuse(consentRequired, "The person must be asked.")
}
