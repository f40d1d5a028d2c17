package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/upstream/resilience"
)

// TestServeSaysWhatItReaches starts Portico before EHRs and providers of every
// kind, none of which keeps it from starting.
func TestServeSaysWhatItReaches(t *testing.T) {
	answering := func(status int, body string) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/fhir+json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	good := answering(200, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
	newer := answering(200, `{"resourceType":"CapabilityStatement","fhirVersion":"5.0.0"}`)
	nothing := answering(404, `{"resourceType":"OperationOutcome"}`)
	page := answering(200, `{"resourceType":"Patient"}`)
	var idp *httptest.Server
	idp = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": idp.URL, "authorization_endpoint": idp.URL + "/a", "token_endpoint": idp.URL + "/t", "jwks_uri": idp.URL + "/k",
		})
	}))
	t.Cleanup(idp.Close)
	port := freePort(t)
	path := writeConfig(t, port, fmt.Sprintf(`  - {id: good, name: Good, fhir_base: %q}
  - {id: newer, name: Newer, fhir_base: %q}
  - {id: nothing, name: Nothing, fhir_base: %q}
  - {id: page, name: Page, fhir_base: %q}
log: {format: json}
`, good.URL+"/fhir", newer.URL+"/fhir", nothing.URL+"/fhir", page.URL+"/fhir"))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`issuer: "http://127.0.0.1:1"`), fmt.Appendf(nil, "issuer: %q", idp.URL+"/"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}

	var log lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"serve", "-config", path}, streams{&log, &log}) }()
	wants := []string{
		`"level":"INFO","msg":"source good: reachable, FHIR 4.0.1"`,
		`"level":"WARN","msg":"source newer: reachable, FHIR \"5.0.0\""`,
		`"level":"WARN","msg":"source nothing: there is nothing at {fhir_base}/metadata"`,
		`"level":"WARN","msg":"source page: the EHR does not answer its metadata as it should"`,
		`"level":"WARN","msg":"source demo: the EHR does not answer its metadata as it should"`,
		fmt.Sprintf(`"msg":"provider idp: its discovery document cannot be used","issuer":"%s/","error"`, idp.URL),
		fmt.Sprintf(`returned by provider (\"%s\")`, idp.URL), // and what the document says
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		missing := ""
		for _, want := range wants {
			if !strings.Contains(log.String(), want) {
				missing = want
			}
		}
		if missing == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s in the log:\n%s", missing, log.String())
		}
	}
	client := fetcher(t, nil)
	defer client.CloseIdleConnections()
	ask := func(path string) (int, string) {
		resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := ask("/livez"); status != 200 || body != "ok\n" {
		t.Errorf("livez: %d %q", status, body)
	}
	status, body := ask("/readyz")
	if status != 200 || !strings.HasPrefix(body, "ready\ndegraded provider idp: ") || !strings.Contains(body, "degraded source nothing: no CapabilityStatement\n") ||
		strings.Contains(body, "good") || strings.Contains(body, "127.0.0.1") {
		t.Errorf("readyz: %d %q", status, body)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestNotReadyWithoutTheStore(t *testing.T) {
	var log lockedBuffer
	h := newWatch(slog.New(slog.NewTextHandler(&log, nil)))
	for range 2 {
		rec := httptest.NewRecorder()
		w := &wiring{watch: h, parts: []part{
			{name: "store", needed: true, ping: func(context.Context) error { return errors.New("no such disk /srv/x") }},
			{name: "redis", ping: func(context.Context) error { return errors.New("gone") }},
		}}
		w.readyz(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if rec.Code != http.StatusServiceUnavailable || rec.Body.String() != "not ready\ndegraded redis: down\nfailed store: down\n" {
			t.Errorf("%d %q", rec.Code, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	w := &wiring{watch: h, parts: []part{
		{name: "store", needed: true, ping: func(context.Context) error { return nil }},
		{name: "redis", ping: func(context.Context) error { return errors.New("gone at 10.0.0.7") }},
	}}
	w.readyz(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if rec.Code != http.StatusOK || rec.Body.String() != "ready\ndegraded redis: down\n" {
		t.Errorf("what can be done without keeps nobody from anything: %d %q", rec.Code, rec.Body)
	}
	rec = httptest.NewRecorder()
	w.readyzJSON(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	var said readiness
	if err := json.Unmarshal(rec.Body.Bytes(), &said); err != nil || !said.Ready || len(said.Checks) != 3 || said.Checks[1] != (check{"redis", "degraded", "down", false}) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if got := strings.Count(log.String(), "no such disk"); got != 1 {
		t.Errorf("said %d times:\n%s", got, log.String())
	}
}

// A failure is said once, and so is its end.
func TestOnlyChangesAreLogged(t *testing.T) {
	var log lockedBuffer
	h := newWatch(slog.New(slog.NewTextHandler(&log, nil)))
	for _, state := range []string{"", "", "down", "down", ""} {
		h.note("source x", state, "said "+state)
	}
	if got := strings.Count(log.String(), "said"); got != 3 {
		t.Errorf("%d lines:\n%s", got, log.String())
	}
	if got := h.of("source x"); got != wellState || h.of("source y") != unknownState {
		t.Errorf("state: %q", got)
	}
}

func TestAnEHRThatGoesAwayIsNoticedThoughItsStatementIsKept(t *testing.T) {
	var away atomic.Bool
	ehr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/fhir+json")
		_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
	}))
	t.Cleanup(ehr.Close)
	way, err := resilience.New(resilience.Options{Next: http.DefaultTransport, Breaker: resilience.Breaker{Requests: 4, Open: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	base, err := fhir.ParseBase(ehr.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	source, err := fhirserver.New(fhirserver.Options{Base: base, Timeout: time.Second, Transport: way})
	if err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	w := &wiring{watch: newWatch(slog.New(slog.NewTextHandler(&log, nil))), ways: map[string]*resilience.Transport{"main": way}}
	w.watch.asks["main"] = source.Recheck
	says := func(want string) {
		t.Helper()
		w.watch.source(t.Context(), "main", source)
		rec := httptest.NewRecorder()
		w.readyz(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if rec.Code != http.StatusOK || rec.Body.String() != want {
			t.Errorf("%d %q, want %q", rec.Code, rec.Body, want)
		}
	}
	const degraded = "ready\ndegraded source main: does not answer properly\n"
	says("ready\n")
	away.Store(true)
	says(degraded)
	if !strings.Contains(log.String(), "the EHR does not answer its metadata as it should") {
		t.Errorf("the log:\n%s", log.String())
	}
	away.Store(false)
	says("ready\n")

	// What apps ask tells earlier than the next minute.
	away.Store(true)
	for range 8 {
		_ = source.Recheck(t.Context())
	}
	if state := w.stateOf("source main", w.watch.of("source main")); state != awayState || way.State().Breaker != "open" {
		t.Errorf("an EHR that is left alone is %q, breaker %s", state, way.State().Breaker)
	}
}

// Of an EHR that states nothing nobody says that it is reachable: it was not asked.
func TestAnEHRWithoutAStatementIsNotSaidToBeReachable(t *testing.T) {
	var log lockedBuffer
	w := &wiring{watch: newWatch(slog.New(slog.NewTextHandler(&log, nil)))}
	w.watch.silent["main"] = true
	w.watch.source(t.Context(), "main", nil)
	if strings.Contains(log.String(), "reachable") || !strings.Contains(log.String(), "not asked") || w.watch.version("main") != "" {
		t.Errorf("version %q, the log:\n%s", w.watch.version("main"), log.String())
	}
}

// An EHR that is well is asked for its statement a few times an hour, not each
// minute; one that is not is asked soon, so that its coming back is seen.
func TestWhatIsWellIsAskedLessOften(t *testing.T) {
	h := newWatch(slog.New(slog.DiscardHandler))
	seen := map[time.Duration]bool{}
	for range 100 {
		for state, least := range map[string]time.Duration{"": 4 * time.Minute, awayState: watchEvery} {
			h.note("source x", state, "said")
			pause := h.pause("source x")
			if pause < least || pause > 6*time.Minute || state != "" && pause != watchEvery {
				t.Errorf("%q: %v", state, pause)
			}
			seen[pause] = true
		}
	}
	if len(seen) < 50 {
		t.Error("replicas would ask together")
	}
	if h.pause("source y") != watchEvery || h.pause("") != watchEvery {
		t.Error("what is not known is asked soon")
	}
}
