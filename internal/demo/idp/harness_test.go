package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
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

	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/internal/demo/idp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	redirectURI = "http://localhost:8080/login/callback"
	verifier    = "a-verifier-of-at-least-forty-three-characters-0"
)

func options(issuer string) idp.Options {
	return idp.Options{
		Issuer: issuer,
		People: []idp.Person{
			{Login: "maria", Password: "pw-maria", Name: "Maria <Delgado>", Email: "maria@example.org", Story: "A mother & her son.", FHIRUser: []string{"Patient/p1", "RelatedPerson/r1"}},
			{Login: "noah", Password: "pw-noah", Name: "Noah Reed"},
		},
		Clients: []idp.Client{
			{ID: "portico", Secret: "s3cret", RedirectURIs: []string{redirectURI}, PostLogoutRedirectURIs: []string{"http://localhost:8080/"}},
			{ID: "other", Secret: "other-s3cret", RedirectURIs: []string{redirectURI}},
		},
	}
}

// world is a running provider with a moving clock and one browser.
type world struct {
	*httptest.Server
	t    *testing.T
	mu   sync.Mutex
	past time.Duration
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{Server: httptest.NewUnstartedServer(nil), t: t}
	t.Cleanup(w.Close)
	o := options("http://" + w.Listener.Addr().String())
	o.Now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Now().Add(w.past)
	}
	h, err := idp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Config.Handler = h
	w.Start()
	return w
}

func (w *world) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.past += d
}

type page struct {
	status int
	body   string
	header http.Header
	url    *url.URL
}

// send makes a request and does not follow redirects to clients.
func (w *world) send(method, address string, form url.Values, header ...string) page {
	w.t.Helper()
	if !strings.HasPrefix(address, "http") {
		address = w.URL + address
	}
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := *w.Client()
	c.Jar = jar
	c.CheckRedirect = func(next *http.Request, _ []*http.Request) error {
		if next.URL.Host != req.URL.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return page{resp.StatusCode, string(body), resp.Header, resp.Request.URL}
}

func asking(change ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {"portico"}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid profile email fhirUser"},
		"state": {"the state"}, "nonce": {"n-1"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "" {
			q.Del(change[i])
			continue
		}
		q.Set(change[i], change[i+1])
	}
	return q
}

var requestField = regexp.MustCompile(`name="request" value="([A-Z0-9]+)"`)

// form asks to sign in and gives the request of the form that comes.
func (w *world) form() string {
	w.t.Helper()
	p := w.send(http.MethodGet, "/authorize?"+asking().Encode(), nil)
	m := requestField.FindStringSubmatch(p.body)
	if p.status != http.StatusOK || m == nil {
		w.t.Fatalf("no form: %d %s", p.status, p.body)
	}
	return m[1]
}

// code signs a person in by one click and gives the answer to the client.
func (w *world) code(person string) url.Values {
	w.t.Helper()
	p := w.send(http.MethodPost, "/login", url.Values{"request": {w.form()}, "person": {person}})
	location, err := url.Parse(p.header.Get("Location"))
	if err != nil || !strings.HasPrefix(p.header.Get("Location"), redirectURI+"?") {
		w.t.Fatalf("no answer to the client: %d %s %s", p.status, p.header.Get("Location"), p.body)
	}
	return location.Query()
}

func exchanging(code string, change ...string) url.Values {
	q := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
		"client_id": {"portico"}, "client_secret": {"s3cret"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	return q
}
