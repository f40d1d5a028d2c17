package login

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

const (
	// flightTime is how long a person may take at the provider.
	flightTime = 10 * time.Minute

	// maxFlights is how many sign-ins one browser may have under way. Each is a
	// cookie, and servers limit the size of all of them together.
	maxFlights = 6
)

// flight is a sign-in that is under way. It travels in a sealed cookie of the
// browser in which it began, so that nothing is kept here for people who never
// come back, and so that no other browser can finish it (RFC 9700 4.7).
type flight struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Source   string    `json:"o"`
	Provider string    `json:"p"`
	ReturnTo string    `json:"r"`
	Leave    string    `json:"l,omitempty"`
	Expires  time.Time `json:"e"`

	Demand authz.SignInDemand `json:"d"`
}

func (f flight) request() SignInRequest {
	return SignInRequest{
		SignInRequest: authz.SignInRequest{Source: f.Source, ReturnTo: f.ReturnTo, Leave: f.Leave, SignInDemand: f.Demand}, Provider: f.Provider,
	}
}

// cookieName puts the __Host- prefix on where it can hold: browsers then refuse
// such a cookie from a subdomain, from plain http or for another path
// (RFC 6265bis 4.1.3.2).
func (p *RelyingParty) cookieName(name string) string {
	if p.o.Secure {
		return "__Host-" + name
	}
	return name
}

func (p *RelyingParty) flightPrefix() string { return p.cookieName("portico-signin-") }

// flightName is a name of its own for each sign-in, so that several tabs do not
// disturb each other.
func (p *RelyingParty) flightName(state string) string {
	sum := sha256.Sum256([]byte(state))
	return p.flightPrefix() + hex.EncodeToString(sum[:8])
}

// setCookie is the one place where a cookie is written. The last word on a name
// is the only one in the response (RFC 6265 4.1.1).
func (p *RelyingParty) setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	w.Header()["Set-Cookie"] = slices.DeleteFunc(w.Header()["Set-Cookie"], func(earlier string) bool {
		return strings.HasPrefix(earlier, name+"=")
	})
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure is off only where the whole site is plain http, on loopback
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: p.o.Secure, HttpOnly: true,
		// Lax and not Strict: the callback is a navigation that comes from the
		// provider's site.
		SameSite: http.SameSiteLaxMode,
	})
}

func (p *RelyingParty) dropCookie(w http.ResponseWriter, name string) { p.setCookie(w, name, "", -1) }

func (p *RelyingParty) keepFlight(w http.ResponseWriter, f flight) error {
	plain, err := json.Marshal(f)
	if err != nil {
		return err
	}
	name := p.flightName(f.State)
	p.setCookie(w, name, p.flights.SealText(plain, name), int(flightTime/time.Second))
	return nil
}

func (p *RelyingParty) openFlight(c *http.Cookie) (flight, error) {
	plain, err := p.flights.OpenText(c.Value, c.Name)
	if err != nil {
		return flight{}, err
	}
	var f flight
	if err := json.Unmarshal(plain, &f); err != nil {
		return flight{}, errors.New("login: a sealed sign-in of an unknown form")
	}
	if !p.o.Now().Before(f.Expires) {
		return flight{}, errors.New("login: the sign-in took too long")
	}
	return f, nil
}

// takeFlight gives the sign-in with this state and removes its cookie: a
// callback counts once in a browser.
func (p *RelyingParty) takeFlight(w http.ResponseWriter, r *http.Request, state string) (flight, error) {
	name := p.flightName(state)
	cookies := r.CookiesNamed(name)
	if len(cookies) == 0 {
		return flight{}, errors.New("login: no sign-in with this state in this browser")
	}
	p.dropCookie(w, name)
	if len(cookies) > 1 {
		return flight{}, errors.New("login: more than one cookie for this sign-in")
	}
	f, err := p.openFlight(cookies[0])
	if err != nil {
		return flight{}, err
	}
	if subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1 {
		return flight{}, errors.New("login: the state is another")
	}
	return f, nil
}

// pruneFlights removes cookies of sign-ins that nobody will finish: those that
// cannot be opened any more, and the oldest when there are too many.
func (p *RelyingParty) pruneFlights(w http.ResponseWriter, r *http.Request) {
	type open struct {
		name    string
		expires time.Time
	}
	var live []open
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, p.flightPrefix()) {
			continue
		}
		f, err := p.openFlight(c)
		if err != nil {
			p.dropCookie(w, c.Name)
			continue
		}
		live = append(live, open{c.Name, f.Expires})
	}
	slices.SortFunc(live, func(a, b open) int { return b.expires.Compare(a.expires) })
	for i := maxFlights - 1; i < len(live); i++ {
		p.dropCookie(w, live[i].name)
	}
}
