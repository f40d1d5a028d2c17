package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// running is a demo started as the command line would start it.
type running struct {
	t    *testing.T
	port int
	out  *bytes.Buffer
}

func (d *running) url(i int) string { return fmt.Sprintf("http://localhost:%d", d.port+i) }

func startDemo(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	d := &running{t: t, port: freeBlock(t), out: &bytes.Buffer{}}
	ended := make(chan error, 1)
	go func() { ended <- demo(ctx, append([]string{"-port", fmt.Sprint(d.port)}, args...), d.out) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	})
	for range 600 {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo did not start: %v", err)
		default:
		}
		if resp, err := http.Get(d.url(3)); err == nil {
			_ = resp.Body.Close()
			return d
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the demo is not ready after 30 s")
	return nil
}

// freeBlock finds four ports in a row that nobody listens on.
func freeBlock(t *testing.T) int {
	t.Helper()
	for port := 21000; port < 29000; port += 4 {
		free := true
		for i := range 4 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return port
		}
	}
	t.Fatal("no four free ports in a row")
	return 0
}

// browser follows redirects and fills in forms like a person, up to the
// redirect to the app, which it does not follow.
type browser struct {
	t      *testing.T
	client *http.Client
	app    string // prefix of the app's redirect URI
	last   *http.Response
	body   string
}

func newBrowser(t *testing.T, app string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, app: app}
	b.client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), app) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func (b *browser) do(method, target string, form url.Values) *browser {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, target, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.last, b.body = resp, string(raw)
	return b
}

var (
	formTag  = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<(?:input|button)\b([^>]*)>`)
	attr     = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

func attrs(tag string) map[string]string {
	out := map[string]string{}
	for _, m := range attr.FindAllStringSubmatch(tag, -1) {
		out[m[1]] = html.UnescapeString(m[2])
	}
	return out
}

// submit sends the first form of the page that has a field of this name, with
// what is filled in there, changed by set.
func (b *browser) submit(field string, set func(url.Values)) *browser {
	b.t.Helper()
	for _, f := range formTag.FindAllStringSubmatch(b.body, -1) {
		if !strings.Contains(f[2], `name="`+field+`"`) {
			continue
		}
		form := url.Values{}
		for _, i := range inputTag.FindAllStringSubmatch(f[2], -1) {
			a := attrs(i[1])
			switch {
			case a["name"] == "", a["type"] == "submit" || strings.HasPrefix(i[0], "<button"):
			case (a["type"] == "checkbox" || a["type"] == "radio") && !regexp.MustCompile(`\bchecked\b`).MatchString(i[1]):
			default:
				form.Add(a["name"], a["value"])
			}
		}
		set(form)
		target, err := b.last.Request.URL.Parse(attrs(f[1])["action"])
		if err != nil {
			b.t.Fatal(err)
		}
		return b.do(http.MethodPost, target.String(), form)
	}
	b.t.Fatalf("no form with %q on %s:\n%s", field, b.last.Request.URL.Path, b.body)
	return b
}

func (b *browser) signIn(login string) *browser {
	return b.submit("password", func(v url.Values) {
		for name := range v {
			if name == "login" || name == "username" {
				v.Set(name, login)
			}
		}
		v.Set("password", "demo")
	})
}

func (b *browser) allow() *browser {
	return b.submit("decision", func(v url.Values) { v.Set("decision", "allow") })
}

// arrived gives what the app's redirect URI was called with.
func (b *browser) arrived() url.Values {
	b.t.Helper()
	location, err := b.last.Location()
	if err != nil || !strings.HasPrefix(location.String(), b.app) {
		b.t.Fatalf("not sent back to the app: %d at %s\n%s", b.last.StatusCode, b.last.Request.URL.Path, b.body)
	}
	return location.Query()
}

// smartApp is an app written with x/oauth2 and go-oidc alone.
type smartApp struct {
	d        *running
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
	pkce     string
}

func newApp(t *testing.T, d *running, scopes ...string) *smartApp {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), d.url(0))
	if err != nil {
		t.Fatal(err)
	}
	return &smartApp{
		d: d, pkce: oauth2.GenerateVerifier(), verifier: provider.Verifier(&oidc.Config{ClientID: demoOwnApp}),
		config: oauth2.Config{
			ClientID: demoOwnApp, RedirectURL: "http://localhost:4711/callback", Scopes: scopes,
			Endpoint: provider.Endpoint(),
		},
	}
}

func (a *smartApp) authorizeURL() string {
	return a.config.AuthCodeURL("state-1", oauth2.S256ChallengeOption(a.pkce), oidc.Nonce("nonce-1"),
		oauth2.SetAuthURLParam("aud", a.d.url(0)+"/fhir/demo"))
}

func (a *smartApp) exchange(t *testing.T, back url.Values) *oauth2.Token {
	t.Helper()
	if back.Get("error") != "" || back.Get("state") != "state-1" || back.Get("iss") != a.d.url(0) {
		t.Fatalf("came back with %v", back)
	}
	token, err := a.config.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(a.pkce))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func fetch(t *testing.T, target, bearer string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestAnAppWrittenWithOAuth2AndOIDCReadsItsPatientsRecordInTheDemo(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "fhirUser", "launch/patient", "patient/Patient.rs", "patient/Observation.rs", "patient/Appointment.rs")
	back := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("alice").allow().arrived()
	token := app.exchange(t, back)

	patient, _ := token.Extra("patient").(string)
	if patient == "" || token.TokenType != "Bearer" || token.Expiry.IsZero() {
		t.Fatalf("token response: %+v", token)
	}
	rawID, _ := token.Extra("id_token").(string)
	id, err := app.verifier.Verify(t.Context(), rawID)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ FHIRUser, Nonce string }
	if err := id.Claims(&claims); err != nil || claims.Nonce != "nonce-1" {
		t.Fatalf("claims %+v, %v", claims, err)
	}
	if status, body := fetch(t, claims.FHIRUser, token.AccessToken); status != http.StatusOK || !strings.Contains(body, `"resourceType":"Patient"`) {
		t.Errorf("fhirUser %s: %d", claims.FHIRUser, status)
	}
	fhirBase := d.url(0) + "/fhir/demo"
	_, own := fetch(t, fhirBase+"/Patient/"+patient, token.AccessToken)
	_, original := fetch(t, d.url(1)+"/fhir/Patient/"+patient, "")
	if own != original {
		t.Error("the Patient is not byte for byte what the EHR holds")
	}
	if n := countPages(t, fhirBase+"/Observation?category=laboratory&_count=50", token.AccessToken); n < 100 {
		t.Errorf("%d laboratory observations for the patient with ten years of them", n)
	}
	if status, _ := fetch(t, fhirBase+"/Condition", token.AccessToken); status != http.StatusForbidden {
		t.Errorf("a type that was not granted: %d", status)
	}
	if status, _ := fetch(t, fhirBase+"/Observation", ""); status != http.StatusUnauthorized {
		t.Errorf("no token: %d", status)
	}
	_, visits := fetch(t, fhirBase+"/Appointment?_count=200", token.AccessToken)
	if !strings.Contains(visits, `"valueCode":"masked"`) {
		t.Error("the group visit's other patient is not masked")
	}
	if _, err := app.config.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(app.pkce)); err == nil {
		t.Error("the code was good twice")
	}
	if status, _ := fetch(t, fhirBase+"/Patient/"+patient, token.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("after the code's replay its token is still good: %d", status)
	}
}

// countPages follows next links and counts matches.
func countPages(t *testing.T, target, bearer string) int {
	t.Helper()
	total := 0
	for range 50 {
		status, body := fetch(t, target, bearer)
		if status != http.StatusOK {
			t.Fatalf("%s: %d", target, status)
		}
		var bundle struct {
			Link  []struct{ Relation, URL string }
			Entry []struct{ Search struct{ Mode string } }
		}
		if err := json.Unmarshal([]byte(body), &bundle); err != nil {
			t.Fatal(err)
		}
		total += len(bundle.Entry)
		target = ""
		for _, l := range bundle.Link {
			if l.Relation == "next" {
				target = l.URL
			}
		}
		if target == "" {
			return total
		}
	}
	t.Fatal("more than 50 pages")
	return 0
}

func TestAParentChoosesWhoseRecordAnAppSees(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "fhirUser", "launch/patient", "patient/*.rs")
	b := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("maria")
	var ids []string
	for _, m := range regexp.MustCompile(`name="patient"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="patient"`).FindAllStringSubmatch(b.body, -1) {
		ids = append(ids, m[1]+m[2])
	}
	if len(ids) != 2 {
		t.Fatalf("a parent of one child may choose among %v:\n%s", ids, b.body)
	}
	seen := map[string]string{}
	for _, choose := range ids {
		app := newApp(t, d, "openid", "fhirUser", "launch/patient", "patient/*.rs")
		b := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("maria")
		token := app.exchange(t, b.submit("patient", func(v url.Values) { v.Set("patient", choose) }).allow().arrived())
		if got := token.Extra("patient"); got != choose {
			t.Fatalf("chose %s, got %v", choose, got)
		}
		rawID, _ := token.Extra("id_token").(string)
		id, err := app.verifier.Verify(t.Context(), rawID)
		if err != nil {
			t.Fatal(err)
		}
		var claims struct{ FHIRUser string }
		if err := id.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		status, body := fetch(t, claims.FHIRUser, token.AccessToken)
		if status != http.StatusOK {
			t.Errorf("fhirUser %s is not readable with the token: %d", claims.FHIRUser, status)
		}
		seen[choose] = body
		for _, other := range ids {
			status, _ := fetch(t, d.url(0)+"/fhir/demo/Patient/"+other, token.AccessToken)
			if (status == http.StatusOK) != (other == choose) {
				t.Errorf("with a token for %s, Patient/%s answers %d", choose, other, status)
			}
		}
	}
	joined := seen[ids[0]] + seen[ids[1]]
	if !strings.Contains(joined, `"resourceType":"Patient"`) || !strings.Contains(joined, `"resourceType":"RelatedPerson"`) {
		t.Error("the parent is not a Patient for herself and a RelatedPerson for her child")
	}
}

func TestAPersonWithoutARecordIsToldSo(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "launch/patient", "patient/*.rs")
	b := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("nora")
	if b.last.StatusCode == http.StatusOK || !strings.Contains(b.body, "<title>") || strings.Contains(b.body, `name="decision"`) {
		t.Errorf("got %d:\n%s", b.last.StatusCode, b.body)
	}
}

func TestDemoRefusesWhatWouldBeUnsafeOrImpossible(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"every address":     {[]string{"-host", "0.0.0.0"}, "not a loopback address"},
		"every address, v6": {[]string{"-host", "::"}, "not a loopback address"},
		"a private address": {[]string{"-host", "192.168.1.10"}, "not a loopback address"},
		"a taken port":      {[]string{"-port", port}, "-port"},
		"no room for four":  {[]string{"-port", "65533"}, "-port"},
		"no patients":       {[]string{"-patients", "0"}, "-patients"},
		"no such folder":    {[]string{"-records", "/nowhere/at/all", "-port", fmt.Sprint(freeBlock(t))}, "-records"},
		"a stray argument":  {[]string{"serve"}, "serve"},
		"a path":            {[]string{"-portico", "http://localhost:9080/"}, "-portico"},
		"another machine's": {[]string{"-portico", "https://portico.example.org", "-patients", "1", "-port", fmt.Sprint(freeBlock(t))}, "not on a loopback address"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := demo(ctx, tt.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheDemoAnswersUnderTheNamesOfThisMachineOnly(t *testing.T) {
	ports := &demoPorts{host: "localhost"}
	h := ports.onlyHere(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for host, want := range map[string]int{
		"localhost": 204, "localhost:8081": 204, "LOCALHOST:8081": 204, "127.0.0.1:8081": 204, "127.8.8.8": 204, "[::1]:8081": 204, "[::1]": 204,
		"evil.example.com": 421, "evil.example.com:8081": 421, "localhost.evil.example.com:8081": 421, "127.0.0.1.evil.example.com": 421,
		"192.0.2.1:8081": 421, "0.0.0.0:8081": 421, "localhost.": 421, "": 421, "localhost@evil.example.com": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/fhir/Patient", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
	}
}
