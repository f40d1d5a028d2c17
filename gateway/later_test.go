package gateway_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
)

// failing is an upstream that fails in one way.
type failing struct{ kind fault.Kind }

func (f failing) fail() error { return fault.Wrap(errors.New("x"), f.kind, "Not now.") }

func (f failing) Read(context.Context, string, string) (*upstream.Answer, error) {
	return nil, f.fail()
}
func (f failing) Search(context.Context, string, string) (*upstream.Answer, error) {
	return nil, f.fail()
}
func (f failing) Next(context.Context, string) (*upstream.Answer, error)       { return nil, f.fail() }
func (f failing) Capabilities(context.Context) (*upstream.Capabilities, error) { return nil, f.fail() }

func TestAnswersThatPassSayWhenToTryAgain(t *testing.T) {
	base, err := fhir.ParseBase("http://ehr.example/fhir")
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[fault.Kind]struct {
		status int
		retry  string
	}{
		fault.Unavailable: {503, "10"},
		fault.TooMany:     {429, "30"},
		fault.Upstream:    {502, ""},
		fault.NotFound:    {404, ""},
	} {
		h := openOver(t, failing{kind}, base, 0)
		r := h.get("/Observation/1", alice)
		if r.status != want.status || r.header.Get("Retry-After") != want.retry {
			t.Errorf("%v: %d, Retry-After %q", kind, r.status, r.header.Get("Retry-After"))
		}
	}
}

func TestURLsThatAreTooLongAreAnsweredInTheProtocolOfTheirPath(t *testing.T) {
	h, err := handler.Wrap(handler.Options{
		Next: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), Route: func(string) string { return "/" }, MaxURL: 100, LongURL: gateway.LongURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	for path, kind := range map[string]string{"/fhir/demo/Observation": "application/fhir+json", "/oauth/authorize": "text/plain; charset=utf-8"} {
		resp, err := srv.Client().Get(srv.URL + path + "?code=" + strings.Repeat("x", 100))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusRequestURITooLong || resp.Header.Get("Content-Type") != kind || !strings.Contains(string(body), "POST to _search") {
			t.Errorf("%s: %d %v %s", path, resp.StatusCode, resp.Header, body)
		}
		if fhir := strings.HasPrefix(path, "/fhir/"); fhir != strings.Contains(string(body), `"OperationOutcome"`) || fhir != (resp.Header.Get("Access-Control-Allow-Origin") == "*") {
			t.Errorf("%s: %s", path, body)
		}
	}
}
