package login_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/login/logintest"
	"github.com/portico-fhir/portico/internal/demo/idp"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/smart/authz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// signedIn is what the enroller was told.
type signedIn struct {
	source string
	person enroll.Person
	claims map[string]any
}

// enroller notes who signed in and answers as a test wants.
type enroller struct {
	mu    sync.Mutex
	calls []signedIn
	errs  map[string]error // by source
}

func (e *enroller) SignedIn(_ context.Context, source string, p enroll.Person, claims map[string]any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, signedIn{source, p, claims})
	if e.errs[source] != nil && e.errs[source].Error() == "panic" {
		panic(e.errs[source])
	}
	return e.errs[source]
}

// site is Portico as far as signing in goes, on a real server.
type site struct {
	*httptest.Server
	party    *login.RelyingParty
	sessions *logintest.Memory
	enroller *enroller
	clock    *clock
}

// parts are what a test may change before the site is built.
type parts struct {
	o   login.Options
	tls bool
}

// listen gives a server whose address is known before it serves.
func listen(t *testing.T, tls bool) (*httptest.Server, string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	t.Cleanup(srv.Close)
	if tls {
		return srv, "https://" + srv.Listener.Addr().String()
	}
	return srv, "http://" + srv.Listener.Addr().String()
}

// open starts srv as Portico. Besides the routes of package login it has
// /begin (calls Start), /who (says who is signed in) and pages to return to.
func open(t *testing.T, srv *httptest.Server, public string, c *clock, change func(*parts), providers ...login.Provider) *site {
	t.Helper()
	s := &site{Server: srv, sessions: new(logintest.Memory), enroller: &enroller{errs: map[string]error{}}, clock: c}
	ring, err := seal.NewRing(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	p := &parts{o: login.Options{
		PublicURL: public, Providers: providers, Enroller: s.enroller, Seal: ring, Now: c.Now, Rand: rand.Reader,
		Idle: 15 * time.Minute, Absolute: 8 * time.Hour, Secure: strings.HasPrefix(public, "https:"),
		Problem: login.ProblemFunc(func(w http.ResponseWriter, _ *http.Request, f login.Failure) error {
			w.WriteHeader(f.Status)
			_, err := fmt.Fprintf(w, "PROBLEM %s\n%s\nleave:%s\nretry:%s\n", f.Title, f.Detail, f.Leave, f.Retry)
			return err
		}),
		Sessions: s.sessions,
		SignOut: func(w http.ResponseWriter, _ *http.Request, v login.SignOutView) error {
			_, err := fmt.Fprintf(w, "SIGN-OUT %t %q next %q", v.SignedIn, v.Person, v.Next)
			return err
		},
		Choose: func(w http.ResponseWriter, _ *http.Request, source string, choices []login.Choice) error {
			_, err := fmt.Fprintf(w, "CHOOSE %s", source)
			for _, c := range choices {
				_, _ = fmt.Fprintf(w, "\n%s -> %s", c.Name, c.URL)
			}
			return err
		},
	}}
	if change != nil {
		change(p)
	}
	s.party, err = login.New(p.o)
	if err != nil {
		t.Fatal(err)
	}
	r := mux.NewRouter()
	s.party.Mount(r)
	r.HandleFunc("/begin", func(w http.ResponseWriter, r *http.Request) {
		q := authz.SignInRequest{Source: r.URL.Query().Get("source"), ReturnTo: r.URL.Query().Get("to")}
		if demand := r.URL.Query().Get("demand"); demand != "" {
			if err := json.Unmarshal([]byte(demand), &q.SignInDemand); err != nil {
				t.Error(err)
			}
		}
		if err := s.party.Start(w, r, q); err != nil {
			http.Error(w, "START "+err.Error(), http.StatusTeapot)
		}
	})
	r.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		who, ok := s.party.Current(r, r.URL.Query().Get("source"))
		fmt.Fprintf(w, "%t %s %s %s", ok, who.Subject, who.Name, who.Issuer)
		if r.URL.Query().Has("how") {
			fmt.Fprintf(w, " acr=%s amr=%v since=%s", who.ACR, who.AMR, who.Since.Format(time.RFC3339))
		}
	})
	// Every other page is one to return to.
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ARRIVED "+r.URL.RequestURI()) })
	srv.Config.Handler = r
	if p.o.Secure {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	return s
}

// browser is a client with cookies, without scripts.
type browser struct {
	t *testing.T
	*http.Client
}

func newBrowser(t *testing.T, srv *httptest.Server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *srv.Client()
	c.Jar = jar
	return &browser{t, &c}
}

// page is what a browser shows.
type page struct {
	status int
	url    *url.URL
	body   string
	header http.Header
}

func (b *browser) do(req *http.Request) page {
	b.t.Helper()
	resp, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Request.URL, string(body), resp.Header}
}

func (b *browser) get(address string) page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// step is get without following redirects.
func (b *browser) step(address string) page {
	b.t.Helper()
	c := *b.Client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return (&browser{b.t, &c}).get(address)
}

// until follows redirects by hand and gives the first address with the prefix,
// not yet visited.
func (b *browser) until(address, prefix string) string {
	b.t.Helper()
	for range 10 {
		if strings.HasPrefix(address, prefix) {
			return address
		}
		p := b.step(address)
		location, err := p.url.Parse(p.header.Get("Location"))
		if p.header.Get("Location") == "" || err != nil {
			b.t.Fatalf("no redirect from %s: %d %s", p.url, p.status, p.body)
		}
		address = location.String()
	}
	b.t.Fatal("too many redirects")
	return ""
}

func (b *browser) post(address string, form url.Values, header ...string) page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return b.do(req)
}

func (p page) want(t *testing.T, status int, text string) {
	t.Helper()
	if p.status != status || !strings.Contains(p.body, text) {
		t.Fatalf("got %d %q at %s, want %d with %q", p.status, p.body, p.url, status, text)
	}
}

func (s *site) begin(source, to string) string {
	return s.URL + "/begin?" + url.Values{"source": {source}, "to": {to}}.Encode()
}

// who gives what /who says.
func (s *site) who(b *browser, source string) string {
	return b.get(s.URL + "/who?source=" + source).body
}

// demo is the demo's provider with two people.
func demo(t *testing.T, redirectURI string) (issuer string, srv *httptest.Server) {
	t.Helper()
	srv, issuer = listen(t, false)
	h, err := idp.New(idp.Options{
		Issuer: issuer,
		People: []idp.Person{
			{Login: "maria", Password: "pw-maria", Name: "Maria Delgado", Email: "maria@example.org", FHIRUser: []string{"Patient/p1", "RelatedPerson/r1"}},
			{Login: "noah", Password: "pw-noah", Name: "Noah Reed"},
		},
		Clients: []idp.Client{{ID: "portico", Secret: "s3cret", RedirectURIs: []string{redirectURI}, PostLogoutRedirectURIs: []string{strings.TrimSuffix(redirectURI, "/login/callback") + "/logout"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = h
	srv.Start()
	return issuer, srv
}

var requestField = regexp.MustCompile(`name="request" value="([^"]+)"`)

// signIn fills in the provider's form.
func (b *browser) signIn(at page, form url.Values) page {
	b.t.Helper()
	m := requestField.FindStringSubmatch(at.body)
	if at.status != http.StatusOK || m == nil {
		b.t.Fatalf("no sign-in form: %d at %s: %s", at.status, at.url, at.body)
	}
	form.Set("request", m[1])
	target, err := at.url.Parse("/login")
	if err != nil {
		b.t.Fatal(err)
	}
	return b.post(target.String(), form)
}

func password(login, password string) url.Values {
	return url.Values{"login": {login}, "password": {password}}
}

func click(person string) url.Values { return url.Values{"person": {person}} }
