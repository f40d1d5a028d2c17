package observe_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream/observe"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/internal/telemetry"
)

func isType(name string) bool {
	return name == "Observation" || name == "Patient" || name == "Binary"
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// timeout is an error as net/http gives them.
type timeout struct{}

func (timeout) Error() string   { return "took too long for Patient/parker" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

type house struct {
	*observe.Transport
	tel *telemetry.Telemetry
	now time.Time
}

func open(t *testing.T, next http.RoundTripper) *house {
	t.Helper()
	base, err := fhir.ParseBase("https://ehr.example.org/fhir/r4")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	if h.tel, err = telemetry.New(telemetry.Options{Sources: []string{"main"}, IsType: isType}); err != nil {
		t.Fatal(err)
	}
	h.Transport, err = observe.New(observe.Options{Source: "main", Base: base, Next: next, IsType: isType, Telemetry: h.tel, Now: func() time.Time { return h.now }})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) metrics() string {
	w := httptest.NewRecorder()
	h.tel.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w.Body.String()
}

func answer(status int) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("12345")), Header: http.Header{}}
}

func (h *house) send(ctx context.Context, t *testing.T, method, url string) error {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.RoundTrip(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.Body.Close()
}

func TestCallsAreNamedByWhatTheyAskAndByNothingElse(t *testing.T) {
	const base = "https://ehr.example.org/fhir/r4"
	for _, tt := range []struct{ method, url, kind string }{
		{"GET", base + "/Observation/parker", "read"},
		{"GET", base + "/Observation?patient=parker", "search"},
		{"POST", base + "/Observation/_search", "search"},
		{"GET", base + "/Observation/parker/_history/7", "vread"},
		{"GET", base + "/Observation/parker/_history", "history"},
		{"GET", base + "/metadata", "metadata"},
		{"GET", base + "/Patient/parker/$everything", "operation"},
		{"POST", base + "/Observation", "create"},
		{"PUT", base + "/Observation/parker", "update"},
		{"DELETE", base + "/Observation/parker", "delete"},
		{"GET", base + "/Binary/parker", "file"},
		{"GET", base + "?_getpages=parker", "page"},
		{"GET", base + "/page/parker/2", "page"},
		{"GET", "https://files.example.org/parker.pdf", "file"},
		{"GET", base + "/Parker", "page"},
	} {
		h := open(t, roundTrip(func(*http.Request) (*http.Response, error) { return answer(200), nil }))
		if err := h.send(t.Context(), t, tt.method, tt.url); err != nil {
			t.Fatal(err)
		}
		text := h.metrics()
		if !strings.Contains(text, `portico_upstream_requests_total{kind="`+tt.kind+`",result="2xx",source="main"} 1`) {
			t.Errorf("%s %s is not %s", tt.method, tt.url, tt.kind)
		}
		if !strings.Contains(text, `portico_upstream_bytes_total{source="main"} 5`) {
			t.Errorf("%s: the bytes are not counted once", tt.url)
		}
		if strings.Contains(strings.ToLower(text), "parker") {
			t.Errorf("%s: %s", tt.url, text)
		}
	}
}

func TestFailuresAreNamedByWordsAlone(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		want string
		ctx  context.Context
		give func() (*http.Response, error)
	}{
		{"5xx", t.Context(), func() (*http.Response, error) { return answer(502), nil }},
		{"4xx", t.Context(), func() (*http.Response, error) { return answer(404), nil }},
		{"timeout", t.Context(), func() (*http.Response, error) { return nil, timeout{} }},
		{"unreachable", t.Context(), func() (*http.Response, error) { return nil, errors.New("refused for Patient/parker") }},
		{"given-up", gone, func() (*http.Response, error) { return nil, context.Canceled }},
	} {
		h := open(t, roundTrip(func(*http.Request) (*http.Response, error) { return tt.give() }))
		_ = h.send(tt.ctx, t, http.MethodGet, "https://ehr.example.org/fhir/r4/Observation/parker")
		if text := h.metrics(); !strings.Contains(text, `{kind="read",result="`+tt.want+`",source="main"} 1`) || strings.Contains(text, "parker") {
			t.Errorf("%s: %s", tt.want, text)
		}
	}
}

func TestTheRequestsEventKnowsOfTheCall(t *testing.T) {
	h := open(t, fine(t))
	e := reqctx.New("id", time.Now())
	if err := h.send(reqctx.With(t.Context(), e), t, http.MethodGet, "https://ehr.example.org/fhir/r4/Observation/1"); err != nil {
		t.Fatal(err)
	}
	if f := e.Facts(); f.UpstreamCalls != 1 {
		t.Errorf("%+v", f)
	}
}

func fine(t *testing.T) http.RoundTripper {
	t.Helper()
	return roundTrip(func(*http.Request) (*http.Response, error) { return answer(200), nil })
}

func TestOptionsAreNeeded(t *testing.T) {
	if _, err := observe.New(observe.Options{}); err == nil {
		t.Error("nothing at all is enough")
	}
}
