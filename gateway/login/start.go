package login

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/authz"
)

// SignInRequest says how somebody is to sign in, and where.
type SignInRequest struct {
	authz.SignInRequest
	Provider string // "": the person chooses when the source has several
}

// Start implements authz.SignIn. When the provider cannot be reached the person
// gets a page that says so; that is an answer too, not an error.
func (p *RelyingParty) Start(w http.ResponseWriter, r *http.Request, q authz.SignInRequest) error {
	err := p.begin(w, r, SignInRequest{SignInRequest: q})
	if fault.KindOf(err) == fault.Unavailable {
		reqctx.From(r.Context()).Fail(err)
		p.writeFailure(w, r, err)
		return nil
	}
	return err
}

// serveStart is GET /login/start: where a "try again" link and the choice of a
// provider lead.
func (p *RelyingParty) serveStart(w http.ResponseWriter, r *http.Request) error {
	return p.begin(w, r, requestOf(r.URL.Query()))
}

// begin sends the browser to the provider (OpenID Connect Core 3.1.2.1) with a
// state, a nonce and a PKCE challenge that are good for this sign-in alone.
func (p *RelyingParty) begin(w http.ResponseWriter, r *http.Request, q SignInRequest) error {
	if !localPath(q.ReturnTo) {
		return fail(fault.Invalid, "This link cannot be used", "The link does not lead back to a page of this site.",
			errors.New("return_to is no local path"))
	}
	if q.Provider == "" {
		if several := p.allServing(q.Source); len(several) > 1 {
			return p.choose(w, r, q, several)
		}
	}
	if !localPath(q.Leave) {
		q.Leave = ""
	}
	at, found := p.serving(q.Source, q.Provider)
	if !found {
		return fail(fault.NotFound, "This link cannot be used", "There is no such place to sign in.",
			errors.New("no provider for the source"))
	}
	q.Provider = at.ID
	ready, err := at.discover(r.Context())
	if err != nil {
		return p.down(at, q, err)
	}
	f := flight{
		Source: q.Source, Provider: at.ID, ReturnTo: q.ReturnTo, Leave: q.Leave, Demand: q.SignInDemand,
		Expires: p.o.Now().Add(flightTime),
	}
	for _, value := range []*string{&f.State, &f.Nonce, &f.Verifier} {
		if *value, err = p.secret(); err != nil {
			return err
		}
	}
	p.pruneFlights(w, r)
	if err := p.keepFlight(w, f); err != nil {
		return err
	}
	noStore(w)
	options := append(demands(q.SignInDemand), oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier))
	http.Redirect(w, r, ready.oauth.AuthCodeURL(f.State, options...), http.StatusSeeOther)
	return nil
}

// demands puts what is asked of the sign-in into the request (OpenID Connect
// Core 3.1.2.1). prompt=login alone would not make a provider say auth_time,
// without which nobody knows that it was heeded; max_age does.
func demands(d authz.SignInDemand) []oauth2.AuthCodeOption {
	var out []oauth2.AuthCodeOption
	add := func(name, value string) {
		if value != "" {
			out = append(out, oauth2.SetAuthURLParam(name, value))
		}
	}
	var prompts []string
	age := d.MaxAge
	if d.Login {
		prompts, age = append(prompts, "login"), new(int64)
	}
	if d.SelectAccount {
		prompts = append(prompts, "select_account")
	}
	add("prompt", strings.Join(prompts, " "))
	if age != nil {
		add("max_age", strconv.FormatInt(*age, 10))
	}
	add("login_hint", d.LoginHint)
	add("acr_values", strings.Join(d.ACRValues, " "))
	return out
}

// path gives the request as the address of /login/start. The login hint stays
// out: it says who somebody is.
func (q SignInRequest) path() string {
	v := url.Values{"source": {q.Source}, "provider": {q.Provider}, "return_to": {q.ReturnTo}}
	if q.Leave != "" {
		v.Set("leave", q.Leave)
	}
	if q.Login {
		v.Set("login", "1")
	}
	if q.SelectAccount {
		v.Set("select", "1")
	}
	if q.MaxAge != nil {
		v.Set("max_age", strconv.FormatInt(*q.MaxAge, 10))
	}
	if len(q.ACRValues) > 0 {
		v["acr"] = q.ACRValues
	}
	return "/login/start?" + v.Encode()
}

// requestOf reads what path wrote. Anybody may write such a link: it can only
// ask the provider for more or for less, and whether that was enough is looked
// at when the person comes back.
func requestOf(v url.Values) SignInRequest {
	q := SignInRequest{Provider: v.Get("provider")}
	q.Source, q.ReturnTo = v.Get("source"), v.Get("return_to")
	q.Leave = v.Get("leave")
	q.Login, q.SelectAccount = v.Get("login") == "1", v.Get("select") == "1"
	if age, err := strconv.ParseUint(v.Get("max_age"), 10, 31); err == nil {
		seconds := int64(age)
		q.MaxAge = &seconds
	}
	for _, value := range v["acr"] {
		if acrForm.MatchString(value) && len(q.ACRValues) < 10 {
			q.ACRValues = append(q.ACRValues, value)
		}
	}
	return q
}

var acrForm = regexp.MustCompile(`^[\x21-\x7e]{1,100}$`)

func (p *RelyingParty) down(at *provider, q SignInRequest, cause error) error {
	name := at.Name
	if name == "" {
		name = "The sign-in service"
	}
	return fail(fault.Unavailable, "Signing in is not possible right now",
		name+" does not answer. Nothing is wrong with your account. Please try again in a few minutes.", cause).again(q)
}

// maxReturnTo keeps the cookie of a sign-in well under the 4 KiB of browsers.
const maxReturnTo = 1000

// localPath says whether s is a path (with or without query) on this server and
// nothing that a browser would read as another one: "//host", "/\host", or
// either of them hidden by characters that browsers drop (WHATWG URL 4.4).
func localPath(s string) bool {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || len(s) > maxReturnTo {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.Fragment == "" && !strings.HasPrefix(u.Path, "//")
}
