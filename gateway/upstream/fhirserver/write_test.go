package fhirserver_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/internal/fault"
)

// scribe answers changes as told and notes what it was asked.
func scribe(t *testing.T, answer func(w http.ResponseWriter, base string)) (*fhirserver.Server, *[]string) {
	t.Helper()
	var asked []string
	var base string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("If-Match")+" "+r.Header.Get("Content-Type")+" "+string(body))
		answer(w, base)
	}))
	t.Cleanup(up.Close)
	base = up.URL + "/fhir"
	parsed, err := fhir.ParseBase(base)
	if err != nil {
		t.Fatal(err)
	}
	s, err := fhirserver.New(fhirserver.Options{Base: parsed, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s, &asked
}

func TestAChangeIsSentOnceAndItsFailureIsNoSuccess(t *testing.T) {
	for status, kind := range map[int]fault.Kind{
		302: fault.Upstream, 307: fault.Upstream, 400: fault.Invalid, 422: fault.Invalid, 404: fault.NotFound, 410: fault.NotFound, 409: fault.Conflict,
		412: fault.Conflict, 401: fault.Upstream, 403: fault.Unsupported, 405: fault.Unsupported, 429: fault.TooMany, 500: fault.Upstream, 503: fault.Unavailable, 202: fault.Upstream,
	} {
		s, asked := scribe(t, func(w http.ResponseWriter, base string) {
			w.Header().Set("Location", base+"/Observation/1")
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"resourceType":"OperationOutcome","issue":[{"diagnostics":"ehr.internal"}]}`)
		})
		for _, try := range []func() error{
			func() error { _, err := s.Create(t.Context(), "Observation", []byte(`{}`)); return err },
			func() error { _, err := s.Update(t.Context(), "Observation", "1", []byte(`{}`), `W/"1"`); return err },
			func() error { _, err := s.Delete(t.Context(), "Observation", "1", `W/"1"`); return err },
		} {
			*asked = nil
			err := try()
			if fault.KindOf(err) != kind || err == nil || len(*asked) != 1 || strings.Contains(err.Error(), "internal") {
				t.Errorf("%d: %v, asked %d times", status, err, len(*asked))
			}
		}
	}
}

func TestWhatIsSaidOfAChangeIsReadWithCare(t *testing.T) {
	for name, tt := range map[string]struct {
		status                int
		location, media, body string
		id, etag              string
		whole, fails          bool
	}{
		"all of it":               {201, "BASE/Observation/7/_history/2", "application/fhir+json", `{"resourceType":"Observation","id":"7","meta":{"versionId":"2"}}`, "7", `W/"2"`, true, false},
		"the location alone":      {201, "BASE/Observation/7/_history/2", "", "", "7", `W/"2"`, false, false},
		"a relative location":     {201, "/fhir/Observation/7", "", "", "7", "", false, false},
		"Type/id":                 {201, "Observation/7", "", "", "7", "", false, false},
		"the body alone":          {201, "", "application/fhir+json", `{"resourceType":"Observation","id":"7","meta":{"versionId":"3"}}`, "7", `W/"3"`, true, false},
		"nothing":                 {201, "", "", "", "", "", false, false},
		"a location elsewhere":    {201, "http://elsewhere.invalid/fhir/Observation/7", "", "", "", "", false, false},
		"a location of a type":    {201, "BASE/Patient/7", "", "", "", "", false, false},
		"another one in the body": {201, "BASE/Observation/7", "application/fhir+json", `{"resourceType":"Observation","id":"8"}`, "7", "", false, false},
		"an outcome":              {201, "BASE/Observation/7", "application/fhir+json", `{"resourceType":"OperationOutcome","id":"8"}`, "7", "", false, false},
		"names twice":             {201, "BASE/Observation/7", "application/fhir+json", `{"resourceType":"Observation","id":"7","id":"7"}`, "7", "", false, false},
		"a page of HTML":          {200, "", "text/html", "<html>sign in</html>", "", "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, asked := scribe(t, func(w http.ResponseWriter, base string) {
				w.Header()["Content-Type"] = nil
				if tt.media != "" {
					w.Header().Set("Content-Type", tt.media)
				}
				if tt.location != "" {
					w.Header().Set("Location", strings.Replace(tt.location, "BASE", base, 1))
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			got, err := s.Create(t.Context(), "Observation", []byte(`{"resourceType":"Observation"}`))
			if tt.fails {
				if err == nil {
					t.Fatalf("%+v", got)
				}
				return
			}
			if err != nil || got.ID != tt.id || got.ETag != tt.etag || (got.Body != nil) != tt.whole {
				t.Errorf("%+v, %v", got, err)
			}
			if (*asked)[0] != `POST /fhir/Observation  application/fhir+json {"resourceType":"Observation"}` {
				t.Errorf("asked %q", *asked)
			}
		})
	}
}

func TestNoChangeGoesToAnIDThatIsNone(t *testing.T) {
	s, asked := scribe(t, func(http.ResponseWriter, string) {})
	for _, id := range []string{"", "..", "a/b", "a?b"} {
		if _, err := s.Update(t.Context(), "Observation", id, []byte(`{}`), ""); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := s.Delete(t.Context(), "Observation", id, ""); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
	if len(*asked) != 0 {
		t.Errorf("asked %q", *asked)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAChangeThatNeverLeftSaysSo(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(hangsUp.Close)
	for name, tt := range map[string]struct {
		url    string
		way    http.RoundTripper
		unsent bool
	}{
		"the EHR is left alone": {gone.URL, roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, fault.Later(fault.Unavailable, time.Second, "Not now.")
		}), true},
		"nobody listens":       {gone.URL, nil, true},
		"the connection broke": {hangsUp.URL, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			base, err := fhir.ParseBase(tt.url + "/fhir")
			if err != nil {
				t.Fatal(err)
			}
			s, err := fhirserver.New(fhirserver.Options{Base: base, Timeout: time.Second, Transport: tt.way})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Create(t.Context(), "Observation", []byte(`{}`))
			if fault.KindOf(err) != fault.Unavailable || errors.Is(err, upstream.ErrUnsent) != tt.unsent || fault.PublicOf(err) == "" {
				t.Errorf("%v", err)
			}
		})
	}
}
