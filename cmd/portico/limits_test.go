package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/internal/services"
	"github.com/portico-fhir/portico/smart/token"
)

// limitedApp is Portico in front of up with more in its configuration.
func limitedApp(t *testing.T, up, more string) (*app, string) {
	t.Helper()
	return limitedSource(t, up, "{}", more)
}

// limitedSource is the same with limits of its source.
func limitedSource(t *testing.T, up, limits, more string) (*app, string) {
	t.Helper()
	t.Setenv("LIMITS_TEST_SEAL", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	path := filepath.Join(t.TempDir(), "portico.yaml")
	text := fmt.Sprintf(`
public_url: http://localhost:8080
store: {sqlite: p.sqlite}
seal_key: {env: LIMITS_TEST_SEAL}
identity_providers: [{id: one, issuer: "http://localhost:1", client_id: portico}]
sources: [{id: demo, name: Demo, fhir_base: "%s/fhir", limits: %s}]
clients:
  - {id: app, name: App, type: public, redirect_uris: ["http://127.0.0.1:1/cb"]}
  - {id: another, name: Another, type: public, redirect_uris: ["http://127.0.0.1:1/cb"]}
%s`, up, limits, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadWith(path, checks())
	if err != nil {
		t.Fatal(err)
	}
	a, err := build(t.Context(), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a, bearerOf(t, a, "app")
}

// bearerOf gives a token of one app for the patient p.
func bearerOf(t *testing.T, a *app, client string) string {
	t.Helper()
	now := time.Now()
	secret, digest := token.NewSecret(rand.Reader)
	_, code := token.NewSecret(rand.Reader)
	g := token.Grant{
		ID: "grant-" + client, Client: client, Source: "demo", Patient: "p", PersonIssuer: "iss", PersonSubject: "sub", FHIRUser: "Patient/p",
		Scopes: "patient/*.rs", AuthTime: now, Created: now, Expires: now.Add(time.Hour),
	}
	if err := a.parts.store.CreateGrant(t.Context(), g, token.Code{Digest: code, RedirectURI: "urn:none", Challenge: "none", Expires: now.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if err := a.parts.store.CreateAccess(t.Context(), g.ID, token.Access{Digest: digest, Scopes: g.Scopes, Issued: now, Expires: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	return secret
}

func askAt(a *app, path, bearer string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	a.Handler.ServeHTTP(w, r)
	return w
}

func TestReplicasCountBudgetsTogetherInRedisAndAloneWithoutIt(t *testing.T) {
	server := services.StartRedis(t)
	more := fmt.Sprintf("redis: {addresses: [%q]}\nlimits: {per_patient: {per_second: 1, burst: 6}}\n", server.Addr)
	up := newHospital(t, "x", "", false)
	one, bearerOne := limitedApp(t, up.URL, more)
	other, bearerOther := limitedApp(t, up.URL, more)
	count := func() (n int) {
		begun := time.Now()
		for range 12 {
			for _, r := range []*httptest.ResponseRecorder{askAt(one, "/fhir/demo/Patient/p", bearerOne), askAt(other, "/fhir/demo/Patient/p", bearerOther)} {
				switch {
				case r.Code == http.StatusOK:
					n++
				case r.Code != http.StatusTooManyRequests || r.Header().Get("Retry-After") == "":
					t.Fatalf("%d %s", r.Code, r.Body)
				}
			}
		}
		return n - 2*int(time.Since(begun)/time.Second+1) // what may have come back meanwhile
	}
	if n := count(); n > 6 {
		t.Errorf("%d requests for two replicas with a burst of 6", n)
	}
	server.Kill(t)
	if n := count(); n < 6 || n > 12 {
		t.Errorf("%d requests for two replicas by themselves", n)
	}
}

func TestReplicasAskASourceTogetherNoOftenerThanAgreedAndGoOnWithoutRedis(t *testing.T) {
	server := services.StartRedis(t)
	up := newHospital(t, "x", "", false)
	const apart, each = 50 * time.Millisecond, 10
	limits, more := "{per_second: 20, burst: 1, wait: 30s}", fmt.Sprintf("redis: {addresses: [%q]}\n", server.Addr)
	one, bearerOne := limitedSource(t, up.URL, limits, more)
	other, bearerOther := limitedSource(t, up.URL, limits, more)
	// ask gives how often the EHR was asked meanwhile, and how long that took.
	ask := func() (int, time.Duration) {
		var all sync.WaitGroup
		before, begun := up.asked(), time.Now()
		for range each {
			for a, bearer := range map[*app]string{one: bearerOne, other: bearerOther} {
				all.Go(func() {
					if r := askAt(a, "/fhir/demo/Patient/p", bearer); r.Code != http.StatusOK {
						t.Errorf("%d %s", r.Code, r.Body)
					}
				})
			}
		}
		all.Wait()
		return up.asked() - before, time.Since(begun)
	}
	if n, took := ask(); n < 2*each || took < time.Duration(n-1)*apart {
		t.Errorf("two replicas asked %d times in %v", n, took)
	}
	server.Kill(t)
	if n, took := ask(); n < 2*each || took < time.Duration(n/2-1)*apart {
		t.Errorf("two replicas by themselves asked %d times in %v", n, took)
	}
}

// slowEHR is an EHR whose Observations come when leave is closed; held says how many
// are waited for.
func slowEHR(t *testing.T) (url string, held func() int64, leave chan struct{}) {
	t.Helper()
	var now atomic.Int64
	leave = make(chan struct{})
	up := newHospital(t, "x", "", false)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/Observation") {
			now.Add(1)
			<-leave
		}
		up.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL, now.Load, leave
}

func TestOneAppCannotTakeAllThePlacesOfASource(t *testing.T) {
	url, held, leave := slowEHR(t)
	a, greedy := limitedSource(t, url, "{concurrent: 4, wait: 50ms}", "")
	modest := bearerOf(t, a, "another")
	codes, ended := make(chan *httptest.ResponseRecorder, 8), sync.WaitGroup{}
	for range 8 {
		ended.Go(func() { codes <- askAt(a, "/fhir/demo/Observation", greedy) })
	}
	for range 5 { // three wait for the EHR; the others are sent away
		if r := <-codes; r.Code != http.StatusTooManyRequests || r.Header().Get("Retry-After") == "" || !strings.Contains(r.Body.String(), "throttled") {
			t.Errorf("%d %s", r.Code, r.Body)
		}
	}
	if r := askAt(a, "/fhir/demo/Patient/p", greedy); r.Code != http.StatusTooManyRequests || held() != 3 {
		t.Errorf("one more: %d, at the EHR are %d", r.Code, held())
	}
	if r := askAt(a, "/fhir/demo/Patient/p", modest); r.Code != http.StatusOK {
		t.Errorf("another app: %d %s", r.Code, r.Body)
	}
	close(leave)
	ended.Wait()
	if r := askAt(a, "/fhir/demo/Patient/p", greedy); r.Code != http.StatusOK {
		t.Errorf("afterwards: %d %s", r.Code, r.Body)
	}
}

func TestOneAppCannotCloseASourceForTheOthers(t *testing.T) {
	var dead atomic.Bool
	var searched atomic.Int64
	up := newHospital(t, "x", "", false)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		search := strings.Contains(r.URL.Path, "/Observation")
		if search {
			searched.Add(1)
		}
		if search || dead.Load() { // this EHR breaks down over one kind of question
			http.Error(w, "stack trace of the EHR", http.StatusInternalServerError)
			return
		}
		up.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	a, hostile := limitedSource(t, front.URL, "{open_for: 10m}", "")
	ordinary := bearerOf(t, a, "another")
	breaker := func() string { return a.parts.ways["demo"].State().Breaker }
	for range 30 {
		askAt(a, "/fhir/demo/Observation", hostile)
		if r := askAt(a, "/fhir/demo/Patient/p", ordinary); r.Code != http.StatusOK {
			t.Fatalf("the other app: %d %s", r.Code, r.Body)
		}
	}
	if n := searched.Load(); n > 10 || breaker() != "closed" {
		t.Errorf("the EHR was asked %d times, its breaker is %s", n, breaker())
	}
	if r := askAt(a, "/fhir/demo/Observation", hostile); r.Code != http.StatusServiceUnavailable || r.Header().Get("Retry-After") == "" {
		t.Errorf("the hostile app: %d %s", r.Code, r.Body)
	}
	dead.Store(true)
	for range 60 {
		askAt(a, "/fhir/demo/Patient/p", ordinary)
	}
	if got := breaker(); got != "open" {
		t.Errorf("nobody gets anything from the EHR, and its breaker is %s", got)
	}
}

func TestBeyondTheLimitOfRequestsAtOnceHealthAndMetadataGoOn(t *testing.T) {
	waiting, leave := make(chan struct{}, 2), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		if strings.HasSuffix(r.URL.Path, "/metadata") {
			_, _ = w.Write([]byte(`{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`))
			return
		}
		waiting <- struct{}{}
		<-leave
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(up.Close)
	a, bearer := limitedApp(t, up.URL, "limits: {concurrent: 2}\n")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { askAt(a, "/fhir/demo/Observation", bearer) })
		<-waiting
	}
	for path, want := range map[string]int{
		"/fhir/demo/Observation": 503, "/fhir/demo/Patient/metadata": 503, "/oauth/jwks": 503, "/": 503,
		"/livez": 200, "/readyz": 200, "/fhir/demo/metadata": 200, "/fhir/demo/.well-known/smart-configuration": 200,
	} {
		r := askAt(a, path, bearer)
		if r.Code != want || want == 503 && r.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: %d, Retry-After %q", path, r.Code, r.Header().Get("Retry-After"))
		}
		if strings.HasPrefix(path, "/fhir/") && want == 503 && !strings.Contains(r.Body.String(), `"resourceType":"OperationOutcome"`) {
			t.Errorf("%s: %s", path, r.Body)
		}
	}
	close(leave)
	all.Wait()
}
