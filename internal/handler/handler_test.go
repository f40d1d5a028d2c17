package handler_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// served runs one request against f, adapted and wrapped, over a real
// connection, and gives what the client saw and the log line.
func served(t *testing.T, f handler.Func, target string, edit func(*http.Request)) (*http.Response, string, map[string]any, error) {
	t.Helper()
	var log bytes.Buffer
	h, err := handler.Wrap(handler.Options{
		Next:  handler.Adapt(f, handler.Plain),
		Log:   slog.New(slog.NewJSONHandler(&log, nil)),
		Route: func(string) string { return "/route" },
		Now:   time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	req, err := http.NewRequest(http.MethodGet, srv.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	transport := &http.Transport{}
	resp, clientErr := transport.RoundTrip(req)
	var body []byte
	if clientErr == nil {
		body, clientErr = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	transport.CloseIdleConnections()
	srv.Close()
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Fatalf("want exactly one log line, got %d:\n%s", n, log.String())
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	return resp, string(body), line, clientErr
}

func TestErrorIsAnsweredByItsWriterAndLoggedScrubbed(t *testing.T) {
	cause := errors.New(`Get "https://ehr.example/fhir/Observation?patient=4711": context deadline exceeded`)
	resp, body, line, err := served(t, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("ETag", `W/"3"`)
		return fault.Wrap(cause, fault.UpstreamTimeout, "The record did not answer in time.")
	}, "/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusGatewayTimeout || body != "The record did not answer in time.\n" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	if resp.Header.Get("ETag") != "" {
		t.Error("an error answer kept the ETag of the answer that was not given")
	}
	if line["kind"] != "upstream-timeout" || line["status"] != float64(504) || line["level"] != "ERROR" {
		t.Errorf("log line: %v", line)
	}
	text, _ := line["error"].(string)
	if strings.Contains(text, "4711") || strings.Contains(text, "Observation") {
		t.Errorf("the log holds what was asked: %q", text)
	}
	if !strings.Contains(text, "context deadline exceeded") {
		t.Errorf("the log lost the reason: %q", text)
	}
}

func TestUnclassifiedErrorSaysNothing(t *testing.T) {
	resp, body, _, _ := served(t, func(http.ResponseWriter, *http.Request) error {
		return errors.New("table patients: Peter Parker")
	}, "/x", nil)
	if resp.StatusCode != 500 || body != "Internal Server Error\n" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

func TestPanicBecomesInternalErrorWithStackInTheLog(t *testing.T) {
	resp, body, line, _ := served(t, func(http.ResponseWriter, *http.Request) error {
		var none *url.URL
		return errors.New(none.Host)
	}, "/x", nil)
	if resp.StatusCode != 500 || strings.Contains(body, "pointer") {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	if line["kind"] != "internal" || !strings.Contains(fmt.Sprint(line["error"]), "nil pointer dereference") {
		t.Errorf("log line: %v", line)
	}
	if stack, _ := line["stack"].(string); !strings.Contains(stack, "handler_test.go") {
		t.Errorf("no stack in the log: %v", line["stack"])
	}
}

func TestPanicValueIsNotPrinted(t *testing.T) {
	_, body, line, _ := served(t, func(http.ResponseWriter, *http.Request) error {
		panic(struct{ Name string }{"Peter Parker"})
	}, "/x", nil)
	for _, text := range []any{body, line["error"]} {
		if strings.Contains(fmt.Sprint(text), "Parker") {
			t.Errorf("the panic's value got out: %q", text)
		}
	}
}

func TestErrorAfterTheAnswerBeganBreaksTheConnection(t *testing.T) {
	for name, f := range map[string]handler.Func{
		"error": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, `{"resourceType":"Bundle","entry":[`)
			_ = http.NewResponseController(w).Flush()
			return fault.New(fault.Upstream, "broken")
		},
		"panic": func(w http.ResponseWriter, _ *http.Request) error {
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			panic("no")
		},
		"abort": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, body, line, err := served(t, f, "/x", nil)
			if err == nil {
				t.Errorf("the client saw a clean end after %q", body)
			}
			if line["outcome"] != "aborted" || line["status"] != float64(200) {
				t.Errorf("log line: %v", line)
			}
		})
	}
}

func TestRequestIDComesFromHereAndNeverFromTheClient(t *testing.T) {
	var inside string
	resp, _, line, _ := served(t, func(_ http.ResponseWriter, r *http.Request) error {
		inside = reqctx.ID(r.Context())
		return nil
	}, "/x", func(r *http.Request) { r.Header.Set("X-Request-Id", "forged") })
	id := resp.Header.Get("X-Request-Id")
	if len(id) != 32 || id != inside || line["request"] != id {
		t.Errorf("header %q, handler %q, log %v", id, inside, line["request"])
	}
}

func TestLogNeverHoldsPathQueryOrUnknownMethod(t *testing.T) {
	_, _, line, _ := served(t, func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "hello")
		return err
	}, "/fhir/demo/Patient/secret-id?name=Parker", func(r *http.Request) { r.Method = "PARKER" })
	raw, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"secret-id", "Parker", "PARKER"} {
		if strings.Contains(string(raw), bad) {
			t.Errorf("%q in the log: %s", bad, raw)
		}
	}
	if line["method"] != "OTHER" || line["route"] != "/route" || line["bytes"] != float64(5) || line["status"] != float64(200) {
		t.Errorf("log line: %s", raw)
	}
}

func TestTooLongURLIsRefusedBeforeTheHandler(t *testing.T) {
	called := false
	f := func(http.ResponseWriter, *http.Request) error { called = true; return nil }
	resp, _, line, _ := served(t, f, "/"+strings.Repeat("a", handler.DefaultMaxURL), nil)
	if resp.StatusCode != http.StatusRequestURITooLong || called || line["kind"] != "too-large" {
		t.Errorf("got %d, called %v, %v", resp.StatusCode, called, line)
	}
	resp, _, _, _ = served(t, f, "/"+strings.Repeat("a", handler.DefaultMaxURL-1), nil)
	if resp.StatusCode != http.StatusOK || !called {
		t.Errorf("the longest allowed URL: got %d, called %v", resp.StatusCode, called)
	}
}

func TestEveryAnswerHasSafeHeaders(t *testing.T) {
	resp, _, _, _ := served(t, func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.NotFound, "Not found.")
	}, "/x", nil)
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	if resp.Header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS on a server that is not known to be https")
	}
}

func TestWrapRefusesIncompleteOptions(t *testing.T) {
	ok := handler.Options{Next: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), Route: func(string) string { return "/" }}
	for name, spoil := range map[string]func(*handler.Options){
		"no routes":       func(o *handler.Options) { o.Next = nil },
		"no log":          func(o *handler.Options) { o.Log = nil },
		"no normaliser":   func(o *handler.Options) { o.Route = nil },
		"negative limits": func(o *handler.Options) { o.MaxURL = -1 },
	} {
		o := ok
		spoil(&o)
		if _, err := handler.Wrap(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := handler.Wrap(ok); err != nil {
		t.Error(err)
	}
}

func TestNothingIsServedWithoutRandomness(t *testing.T) {
	h, err := handler.Wrap(handler.Options{
		Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }),
		Log:  slog.New(slog.DiscardHandler), Route: func(string) string { return "/" }, Rand: strings.NewReader("short"),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d", w.Code)
	}
}

func TestStatusOfEachKind(t *testing.T) {
	for kind, want := range map[fault.Kind]int{
		fault.Internal: 500, fault.Invalid: 400, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404,
		fault.MethodNotAllowed: 405, fault.NotAcceptable: 406, fault.UnsupportedMedia: 415, fault.Conflict: 409,
		fault.Precondition: 412, fault.TooLarge: 413, fault.Unsupported: 501, fault.TooMany: 429, fault.Upstream: 502,
		fault.UpstreamTimeout: 504, fault.Unavailable: 503, fault.Kind(200): 500,
	} {
		if got := handler.Status(fault.New(kind, "x")); got != want {
			t.Errorf("kind %d: %d, want %d", kind, got, want)
		}
	}
}
