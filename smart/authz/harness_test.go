package authz_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

const (
	verifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	challenge  = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	publicApp  = "app"
	secretApp  = "https://web.example/app+1"
	secretText = "s3cret+/: %"
	callback   = "https://app.example/cb?keep=1%202"
)

// harness is an authorization server with people, pages and an identity
// provider made of as little as possible.
type harness struct {
	t       *testing.T
	server  *authz.Server
	http    *httptest.Server
	base    string // issuer
	tokens  *tokentest.Memory
	store   token.Store // what the server uses: tokens, unless a test breaks it
	pending *authztest.Memory
	people  *people
	audit   *recorder
	signer  *token.Signer

	mu  sync.Mutex
	now time.Time
}

func (h *harness) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *harness) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// people is the SignIn and the Patients: whoever has the cookie "sid" is signed
// in as the person of that name.
type people struct {
	h        *harness
	mu       sync.Mutex
	next     string // who signs in at the provider next; "": it fails to sign anybody in
	known    map[string]authz.Person
	patients map[string][]authz.Patient
	err      error
	starts   int

	signedOut []string

	practitioners map[string]string   // by subject, at the source "demo"
	asked         authz.SignInRequest // of the last Start
}

func (p *people) Current(r *http.Request, source string) (authz.Person, bool) {
	c, err := r.Cookie("sid")
	if err != nil || source == "" {
		return authz.Person{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := p.known[c.Value]
	return who, ok
}

func (p *people) Start(w http.ResponseWriter, r *http.Request, q authz.SignInRequest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	p.starts++
	p.asked = q
	http.Redirect(w, r, "/idp?"+url.Values{"return_to": {q.ReturnTo}, "source": {q.Source}}.Encode(), http.StatusSeeOther)
	return nil
}

// provider signs the next person in and sends them back.
func (p *people) provider(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != "" {
		who := p.known[p.next]
		who.Since = p.h.Now()
		p.known[p.next] = who
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: p.next, Path: "/"})
	}
	http.Redirect(w, r, r.URL.Query().Get("return_to"), http.StatusSeeOther)
}

func (p *people) For(_ context.Context, who authz.Person, source string) ([]authz.Patient, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	if source != "demo" && source != "other" {
		return nil, errors.New("an unknown source")
	}
	return p.patients[who.Subject], nil
}

func (p *people) Launched(_ context.Context, who authz.Person, source, patient string) (authz.Patient, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return authz.Patient{}, false, p.err
	}
	if source != "demo" || p.practitioners[who.Subject] == "" || patient == "p404" {
		return authz.Patient{}, false, nil
	}
	return authz.Patient{ID: patient, Label: "Somebody", FHIRUser: p.practitioners[who.Subject]}, true, nil
}

// Online says no of somebody who is in the list signedOut.
func (p *people) Online(_ context.Context, _, subject string, _ time.Time) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.Contains(p.signedOut, subject), p.err
}

func (p *people) set(change func(p *people)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// jsonPages draws each view as JSON, with its name in a header.
type jsonPages struct{}

func drawJSON(w http.ResponseWriter, name string, status int, view any) error {
	w.Header().Set("X-Page", name)
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(view)
}

func (jsonPages) ChoosePatient(w http.ResponseWriter, _ *http.Request, v authz.ChooseView) error {
	return drawJSON(w, "choose", http.StatusOK, v)
}

func (jsonPages) Consent(w http.ResponseWriter, _ *http.Request, v authz.ConsentView) error {
	return drawJSON(w, "consent", http.StatusOK, v)
}

func (jsonPages) Problem(w http.ResponseWriter, _ *http.Request, v authz.ProblemView) error {
	return drawJSON(w, "problem", v.Status, v)
}

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []authz.Event
	err    error
}

func (r *recorder) Record(_ context.Context, e authz.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.events = append(r.events, e)
	return nil
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *recorder) what() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		out = append(out, e.What)
	}
	return strings.Join(out, " ")
}

func digest(secret string) []byte {
	d := sha256.Sum256([]byte(secret))
	return d[:]
}

func clients() []client.Client {
	return []client.Client{
		{ID: publicApp, Name: "App", Owner: "Example Ltd", URL: "https://app.example", Auth: client.Public, RedirectURIs: []string{callback, "https://app.example/second"}},
		{ID: secretApp, Name: "Web app", Auth: client.SecretBasic, SecretSHA256: digest(secretText), RedirectURIs: []string{callback}},
		{ID: "native", Name: "Native app", Auth: client.Public, RedirectURIs: []string{"com.example.app:/cb", "http://127.0.0.1/cb"}, AnyLoopbackPort: true},
		{ID: "narrow", Name: "Narrow app", Auth: client.Public, RedirectURIs: []string{callback}, Scopes: "openid patient/Observation.rs patient/Condition.r"},
		{ID: "elsewhere", Name: "App of another source", Auth: client.Public, RedirectURIs: []string{callback}, Sources: []string{"other"}},
	}
}

// start makes a server; change alters its options.
func start(t *testing.T, change func(h *harness, o *authz.Options)) *harness {
	t.Helper()
	h := &harness{t: t, now: time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC), tokens: tokentest.NewMemory(), pending: &authztest.Memory{}, audit: &recorder{}}
	h.store = h.tokens
	h.people = &people{
		h: h, next: "ana",
		known: map[string]authz.Person{
			"ana": {Issuer: "https://idp.example", Subject: "ana", Name: "Ana", AuthTime: h.now.Add(-time.Minute)},
			"bo":  {Issuer: "https://idp.example", Subject: "bo", Name: "Bo", AuthTime: h.now.Add(-time.Minute)},
			"nil": {Issuer: "https://idp.example", Subject: "nil", Name: "Nil", AuthTime: h.now.Add(-time.Minute)},
		},
		patients: map[string][]authz.Patient{
			"ana": {{ID: "p1", Label: "Ana", Self: true, FHIRUser: "Patient/p1"}},
			"bo":  {{ID: "p2", Label: "Bo", Self: true}, {ID: "p3", Label: "Cy", FHIRUser: "RelatedPerson/r3"}, {ID: "p4", Label: "Di"}},
		},
	}
	router := mux.NewRouter()
	router.HandleFunc("/idp", h.people.provider)
	h.http = httptest.NewServer(router)
	t.Cleanup(h.http.Close)
	h.base = h.http.URL

	registry, err := client.NewStatic(client.Options{Clients: clients()})
	if err != nil {
		t.Fatal(err)
	}
	h.signer, err = token.NewSigner(t.Context(), token.SignerOptions{Keys: signingKeys(t), Now: h.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	o := authz.Options{
		Issuer: h.base,
		Sources: []authz.Source{
			{ID: "demo", Name: "Lakeside Health", Base: h.base + "/fhir/demo"},
			{ID: "other", Name: "Hillside Health", Base: h.base + "/fhir/other"},
		},
		Clients: registry, Signer: h.signer, Pending: h.pending,
		SignIn: h.people, Patients: h.people, Pages: jsonPages{}, Recorder: h.audit,
		KnownType: func(typ string) bool { return typ != "Unknown" },
		Now:       h.Now,
	}
	if change != nil {
		change(h, &o)
	}
	o.Tokens = h.store
	if o.Keys == nil {
		o.Keys = client.NewKeys(nil, h.Now)
	}
	if o.Answered == nil {
		o.Answered = &authztest.Answers{}
	}
	if o.Pushed == nil {
		o.Pushed = &authztest.Pushed{}
	}
	if o.Sessions == nil {
		o.Sessions = h.people
	}
	if o.Used == nil {
		o.Used = &clienttest.Used{}
	}
	if o.Refresh == nil {
		o.Refresh, o.Singles = h.tokens, h.tokens
	}
	h.server, err = authz.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.server.Mount(router)
	router.Handle("/fhir/demo/.well-known/smart-configuration", h.server.SMARTConfiguration("demo"))
	return h
}

// sharedKeys saves the time of making a key for each test.
var sharedKeys = sync.OnceValues(func() (*tokentest.Memory, error) {
	keys := tokentest.NewMemory()
	_, err := token.NewSigner(context.Background(), token.SignerOptions{Keys: keys, Now: func() time.Time { return time.Unix(0, 0) }, Rand: rand.Reader})
	return keys, err
})

func signingKeys(t *testing.T) token.KeyStore {
	t.Helper()
	keys, err := sharedKeys()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// ask is a request that is good in every way, to be spoilt.
func (h *harness) ask(change func(q url.Values)) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {publicApp}, "redirect_uri": {callback}, "state": {"st"},
		"scope": {"openid fhirUser launch/patient patient/Observation.rs patient/Condition.read"},
		"aud":   {h.base + "/fhir/demo"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}, "nonce": {"n1"},
	}
	if change != nil {
		change(q)
	}
	return q
}

// code goes the whole way and gives the code.
func (h *harness) code(change func(q url.Values)) string {
	h.t.Helper()
	b := h.browser()
	consent := b.authorize(h.ask(change)).want(h.t, "consent")
	done := b.post(consent.view.Action, consent.yes())
	code := done.query.Get("code")
	if code == "" {
		h.t.Fatalf("no code: status %d, location %q, page %q %s", done.status, done.location, done.page, done.view.Title)
	}
	return code
}

// exchange is a good exchange of a code by the public app, to be spoilt.
func exchange(code string, change func(f url.Values)) url.Values {
	f := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback},
		"client_id": {publicApp}, "code_verifier": {verifier},
	}
	if change != nil {
		change(f)
	}
	return f
}

// answer is what the token endpoint said.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// list gives an array of texts; anything else in it comes as "".
func (a answer) list(name string) []string {
	values, _ := a.body[name].([]any)
	var out []string
	for _, v := range values {
		s, _ := v.(string)
		out = append(out, s)
	}
	return out
}

func (h *harness) call(req *http.Request) answer {
	// A client of the server's own: closing another test's server ends the idle
	// connections of the default one.
	res, err := h.http.Client().Do(req)
	if err != nil {
		h.t.Error(err)
		return answer{}
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Error(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			h.t.Errorf("not JSON: %s", raw)
		}
	}
	return a
}

func (h *harness) token(form url.Values) answer {
	return h.call(h.request(http.MethodPost, "/oauth/token", form))
}

func (a answer) wantError(t *testing.T, status int, code string) {
	t.Helper()
	if a.status != status || a.text("error") != code {
		t.Errorf("got %d %s, want %d %s", a.status, a.raw, status, code)
	}
	if a.text("error_description") == "" || a.body["access_token"] != nil {
		t.Errorf("error answer %s: a description is needed, a token is not", a.raw)
	}
	if !strings.Contains(a.header.Get("Cache-Control"), "no-store") || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("caching headers of an error: %v", a.header)
	}
}

// good tells whether a bearer token is accepted, and for what.
func (h *harness) good(bearer string) (token.Grant, bool) {
	g, _, _, err := token.Verifier{Store: h.tokens, Now: h.Now}.Authenticate(h.t.Context(), bearer)
	return g, err == nil
}

func claimsOf(t *testing.T, idToken string) map[string]any {
	t.Helper()
	parts := strings.Split(idToken, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", idToken)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
