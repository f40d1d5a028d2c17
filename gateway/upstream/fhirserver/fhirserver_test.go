package fhirserver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts an EHR and a connector with credentials to it.
func serve(t *testing.T, path string, h http.HandlerFunc) (*fhirserver.Server, *httptest.Server) {
	t.Helper()
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	base, err := fhir.ParseBase(up.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{ResponseHeaderTimeout: 200 * time.Millisecond}
	t.Cleanup(transport.CloseIdleConnections)
	s, err := fhirserver.New(fhirserver.Options{
		Base: base, MaxBody: 1000, Transport: transport, Timeout: time.Second,
		Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, up
}

func answerJSON(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/fhir+json; charset=utf-8")
	_, _ = io.WriteString(w, body)
}

func TestOnlyTheConfiguredBaseGetsTheCredentials(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(thief.Close)
	s, up := serve(t, "/fhir", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/fhir/") && r.URL.Path != "/fhir" {
			t.Errorf("asked outside the base: %s", r.URL.Path)
		}
		if r.URL.Query().Get("go") != "" {
			http.Redirect(w, r, thief.URL+"/fhir/Patient/x", http.StatusTemporaryRedirect)
			return
		}
		answerJSON(w, `{}`)
	})
	for _, next := range []string{
		thief.URL + "/fhir/Patient?page=2",
		up.URL + "/fhir2/Patient?page=2",
		up.URL + "/fhirx",
		up.URL + "/fhir/../admin/export",
		up.URL + "/fhir/%2e%2e/admin",
		up.URL + "/fhir/..%2fadmin",
		up.URL + `/fhir/..\admin`,
		up.URL + "/fhir/Patient/.?page=2",
		up.URL + "/",
		strings.Replace(up.URL, "http://", "http://"+"user@", 1) + "/fhir/Patient",
		strings.Replace(up.URL, "http://", "https://", 1) + "/fhir/Patient",
		"/fhir/Patient?page=2",
		"",
		"::",
	} {
		if _, err := s.Next(context.Background(), next); fault.KindOf(err) != fault.Upstream || err == nil {
			t.Errorf("Next(%q): %v", next, err)
		}
	}
	if _, err := s.Search(context.Background(), "Patient", "go=1"); fault.KindOf(err) != fault.Upstream || err == nil {
		t.Errorf("a redirect was followed: %v", err)
	}
	for _, next := range []string{up.URL + "/fhir?_getpages=x", up.URL + "/fhir/Patient?page=2"} {
		answer, err := s.Next(context.Background(), next)
		if err != nil {
			t.Errorf("Next(%q): %v", next, err)
			continue
		}
		_ = answer.Body.Close()
	}
}

func TestWhatGoesWrongBecomesAFaultThatNamesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  fault.Kind
	}{
		"missing":         {status(404), fault.NotFound},
		"deleted":         {status(410), fault.NotFound},
		"not understood":  {status(400), fault.Invalid},
		"unprocessable":   {status(422), fault.Invalid},
		"too many":        {status(429), fault.TooMany},
		"forbidden to us": {status(403), fault.Unsupported},
		"not allowed":     {status(405), fault.Unsupported},
		"not there yet":   {status(501), fault.Unsupported},
		"our password":    {status(401), fault.Upstream},
		"crash":           {status(500), fault.Upstream},
		"down":            {status(503), fault.Unavailable},
		"no content":      {status(204), fault.Upstream},
		"created":         {status(201), fault.Upstream},
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<p>Patient/1")
		}, fault.Upstream},
		"no type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "{}")
		}, fault.Upstream},
		"hanging": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}, fault.UpstreamTimeout},
		"hung up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s, up := serve(t, "/fhir", tt.serve)
			_, err := s.Read(context.Background(), "Patient", "secret-id")
			if err == nil || fault.KindOf(err) != tt.want {
				t.Fatalf("got %v", err)
			}
			for _, word := range []string{"secret-id", "127.0.0.1", "Patient/1", up.URL} {
				if strings.Contains(err.Error(), word) || strings.Contains(fault.PublicOf(err), word) {
					t.Errorf("the error says %q: %v", word, err)
				}
			}
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		w.WriteHeader(code)
	}
}

func TestRequestsAreBuiltByUsAlone(t *testing.T) {
	s, _ := serve(t, "/fhir", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/fhir+json" || r.Header.Get("Authorization") != "Bearer secret" || r.Method != http.MethodGet {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		w.Header().Set("ETag", `W/"3"`)
		w.Header().Set("Last-Modified", "Wed, 01 May 2024 10:00:00 GMT")
		answerJSON(w, r.URL.RequestURI())
	})
	answer, err := s.Search(context.Background(), "Observation", "patient=me&code=a%7Cb")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || string(raw) != "/fhir/Observation?patient=me&code=a%7Cb" {
		t.Errorf("%q, %v", raw, err)
	}
	if answer.ETag != `W/"3"` || answer.LastModified.Year() != 2024 {
		t.Errorf("%+v", answer)
	}
	if _, err := s.Read(context.Background(), "Patient", ".."); fault.KindOf(err) != fault.NotFound || err == nil {
		t.Errorf("an id that means another path: %v", err)
	}
}

func TestABodyOverTheLimitNeverLooksComplete(t *testing.T) {
	s, _ := serve(t, "/fhir", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, strings.Repeat("x", 1001)) })
	answer, err := s.Read(context.Background(), "Patient", "a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if raw, err := io.ReadAll(answer.Body); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%d bytes and no error", len(raw))
	}
}

func TestCapabilitiesAreReadOnceAndFromNothingElse(t *testing.T) {
	asked := 0
	s, _ := serve(t, "/fhir", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		answerJSON(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"resource":[
			{"type":"Observation","interaction":[{"code":"read"}],"searchParam":[{"name":"patient","type":"reference"}],"searchRevInclude":["Provenance:target"],"supportedProfile":["http://p"]}]}]}`)
	})
	for range 3 {
		c, err := s.Capabilities(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		o := c.Types["Observation"]
		if !o.Interactions["read"] || o.Interactions["search-type"] || !o.Params["patient"] || !o.RevIncludes["Provenance:target"] || !o.Profiles["http://p"] || c.FHIRVersion != "4.0.1" {
			t.Errorf("%+v", c)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	for name, body := range map[string]string{"another resource": `{"resourceType":"Patient","id":"a"}`, "not JSON": `<html>`, "twice": `{"resourceType":"CapabilityStatement","rest":1,"rest":2}`} {
		s, _ := serve(t, "/fhir", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, body) })
		if _, err := s.Capabilities(context.Background()); fault.KindOf(err) != fault.Upstream || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABodyThatStallsIsGivenUpAndOneThatDripsIsNot(t *testing.T) {
	s, _ := serve(t, "/fhir", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		for range 10 {
			_, _ = io.WriteString(w, "{}")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(30 * time.Millisecond)
		}
		if strings.HasSuffix(r.URL.Path, "/stalls") {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}
	})
	for id, whole := range map[string]bool{"drips": true, "stalls": false} {
		answer, err := s.Read(context.Background(), "Patient", id)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(answer.Body)
		if closeErr := answer.Body.Close(); closeErr != nil {
			t.Error(closeErr)
		}
		if (err == nil) != whole || len(raw) != 20 {
			t.Errorf("%s: %d bytes, %v", id, len(raw), err)
		}
	}
}
