package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/internal/telemetry"
)

func isType(name string) bool { return name == "Observation" || name == "Patient" }

func open(t *testing.T, change ...func(*telemetry.Options)) *telemetry.Telemetry {
	t.Helper()
	o := telemetry.Options{Version: "1.2.3", Revision: "abc", Sources: []string{"main"}, IsType: isType}
	for _, c := range change {
		c(&o)
	}
	tel, err := telemetry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tel
}

func scrape(t *testing.T, tel *telemetry.Telemetry) string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	return w.Body.String()
}

// observe lets one request pass.
func observe(tel *telemetry.Telemetry, trusted func(*http.Request) bool, status int, fill func(*reqctx.Event), headers ...string) context.Context {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	e := reqctx.New("id", time.Now())
	r = r.WithContext(reqctx.With(r.Context(), e))
	e.SetRoute("/fhir/{source}/Observation")
	e.SetMethod("GET")
	ctx, ended := tel.Observe(trusted)(r, e)
	fill(e)
	ended(status, 20*time.Millisecond)
	return ctx
}

// Whatever a caller gives, no word reaches a label but those of the lists.
func TestNoWordFromOutsideBecomesALabel(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tel := open(t, func(o *telemetry.Options) { o.Traces = &telemetry.Traces{Exporter: kept{spans}} })
	const evil = "Parker-19800502"
	ctx := observe(tel, nil, 200, func(e *reqctx.Event) {
		e.SetMethod(evil)
		e.SetSource(evil)
		e.SetInteraction(evil)
		e.SetType(evil)
		e.SetOutcome(evil)
		e.SetCache(evil)
		e.Withhold(evil)
		e.Count(1, 1, 1)
	})
	observe(tel, nil, 999, func(e *reqctx.Event) {
		e.SetRoute("/oauth/token")
		e.SetInteraction(evil)
	})
	call := telemetry.Call{Source: evil, Kind: evil, Type: evil, Failed: evil}
	tel.Called(ctx, call, time.Second)
	_, end := tel.Calling(ctx, call)
	end(call, 7)
	tel.Received(ctx, evil, 7)
	tel.Cached(ctx, evil, evil, evil)
	if err := tel.Watch(func() []telemetry.SourceState {
		return []telemetry.SourceState{{Source: evil, Breaker: evil}, {Source: "main", Breaker: evil}, {Source: evil, Breaker: "open"}}
	}); err != nil {
		t.Fatal(err)
	}
	if text := scrape(t, tel); strings.Contains(strings.ToLower(text), "parker") {
		t.Error(text)
	}
	if err := tel.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", spans.GetSpans()); len(spans.GetSpans()) != 3 || strings.Contains(text, "Parker") {
		t.Error(text)
	}
}

// kept does not forget its spans when it is closed.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

func TestReasonsAreBounded(t *testing.T) {
	tel := open(t)
	for i := range 500 {
		word := "reason-" + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		observe(tel, nil, 200, func(e *reqctx.Event) { e.Withhold(word) })
	}
	if n := strings.Count(scrape(t, tel), "portico_resources_total{"); n < 10 || n > 65 {
		t.Errorf("%d series", n)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	tel := open(t)
	for range 3 {
		observe(tel, nil, 200, func(e *reqctx.Event) {
			e.SetSource("main")
			e.SetInteraction("search-type")
			e.SetType("Observation")
			e.Count(5, 1, 2)
			e.Withhold("foreign")
			e.Withhold("foreign")
		})
	}
	observe(tel, nil, 400, func(e *reqctx.Event) {
		e.SetRoute("/oauth/token")
		e.SetInteraction("refresh_token")
	})
	tel.Called(t.Context(), telemetry.Call{Source: "main", Kind: "search", Status: 503}, time.Second)
	tel.Called(t.Context(), telemetry.Call{Source: "main", Kind: "read", Failed: telemetry.TimedOut}, time.Second)
	tel.Audited(t.Context(), false)
	tel.Cached(t.Context(), "main", "redis", "hit")
	observe(tel, nil, 502, func(e *reqctx.Event) {
		e.SetSource("main")
		e.SetCache("miss")
		e.Fail(fault.New(fault.Upstream, "No."))
	})
	state := "open"
	if err := tel.Watch(func() []telemetry.SourceState {
		return []telemetry.SourceState{{Source: "main", Breaker: state, InFlight: 3}}
	}); err != nil {
		t.Fatal(err)
	}
	state = "half-open"
	text := scrape(t, tel)
	for _, want := range []string{
		`portico_requests_total{interaction="search-type",source="main",status="2xx",surface="fhir",type="Observation"} 3`,
		`portico_request_duration_seconds_count{interaction="search-type",source="main",status="2xx",surface="fhir"} 3`,
		`portico_requests_running 0`,
		`portico_resources_total{outcome="released",reason="",source="main"} 15`,
		`portico_resources_total{outcome="masked",reason="",source="main"} 3`,
		`portico_resources_total{outcome="withheld",reason="foreign",source="main"} 6`,
		`portico_tokens_total{grant="refresh_token",result="refused"} 1`,
		`portico_upstream_requests_total{kind="search",result="5xx",source="main"} 1`,
		`portico_upstream_requests_total{kind="read",result="timeout",source="main"} 1`,
		`portico_audit_writes_total{result="failed"} 1`,
		`portico_cache_lookups_total{result="hit",source="main",tier="redis"} 1`,
		`portico_errors_total{kind="upstream",source="main",surface="fhir"} 1`, `portico_cache_lookups_total{result="miss",source="main",tier="request"} 1`,
		`portico_upstream_running{source="main"} 3`,
		`portico_breaker_state{source="main"} 1`,
		`portico_build_info{`, `version="1.2.3"`, `go_goroutines `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

const foreignTrace = "0af7651916cd43dd8448eb211c80319c"

func TestTraceparentIsBelievedOfTrustedProxiesAlone(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted func(*http.Request) bool
		headers []string
		taken   bool
	}{
		{"nobody is trusted", nil, []string{"Traceparent", "00-" + foreignTrace + "-b7ad6b7169203331-01"}, false},
		{"another peer", func(*http.Request) bool { return false }, []string{"Traceparent", "00-" + foreignTrace + "-b7ad6b7169203331-01"}, false},
		{"malformed", func(*http.Request) bool { return true }, []string{"Traceparent", "00-" + foreignTrace + "-xyz-01"}, false},
		{"state and baggage do not come along", func(*http.Request) bool { return true }, []string{"Tracestate", "a=Parker", "Baggage", "b=Parker"}, false},
		{"the proxy", func(*http.Request) bool { return true }, []string{"Traceparent", "00-" + foreignTrace + "-b7ad6b7169203331-01", "Tracestate", "a=Parker"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spans := tracetest.NewInMemoryExporter()
			tel := open(t, func(o *telemetry.Options) { o.Traces = &telemetry.Traces{Exporter: kept{spans}} })
			var noted string
			observe(tel, tt.trusted, 200, func(e *reqctx.Event) { noted = e.Facts().Trace }, tt.headers...)
			if err := tel.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := spans.GetSpans()
			if len(got) != 1 || (got[0].SpanContext.TraceID().String() == foreignTrace) != tt.taken || noted != got[0].SpanContext.TraceID().String() {
				t.Errorf("%+v, noted %q", got, noted)
			}
			if strings.Contains(fmt.Sprintf("%+v", got), "Parker") {
				t.Error("the proxy's text is in the span")
			}
		})
	}
}

func TestACallIsASpanBelowItsRequest(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tel := open(t, func(o *telemetry.Options) { o.Traces = &telemetry.Traces{Exporter: kept{spans}} })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	e := reqctx.New("id", time.Now())
	e.SetRoute("/fhir/{source}/Observation")
	e.SetMethod("GET")
	ctx, ended := tel.Observe(nil)(r, e)
	call := telemetry.Call{Source: "main", Kind: "search", Type: "Observation"}
	_, end := tel.Calling(ctx, call)
	call.Status = 200
	end(call, 1234)
	ended(200, time.Millisecond)
	if err := tel.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := spans.GetSpans()
	if len(got) != 2 || got[0].Name != "upstream search Observation" || got[1].Name != "GET /fhir/{source}/Observation" || got[0].Parent.SpanID() != got[1].SpanContext.SpanID() {
		t.Errorf("%+v", got)
	}
}

// deaf is a collector that fails with what it was sent.
type deaf struct{}

func (deaf) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	return errors.New(`collector https://user:pass@collector.example/v1 said "` + spans[0].Name() + `"`)
}
func (deaf) Shutdown(context.Context) error { return nil }

func TestACollectorThatFailsIsNoTroubleAndSaysNothing(t *testing.T) {
	var log bytes.Buffer
	tel := open(t, func(o *telemetry.Options) {
		o.Traces, o.Log = &telemetry.Traces{Exporter: deaf{}}, slog.New(slog.NewTextHandler(&log, nil))
	})
	observe(tel, nil, 200, func(*reqctx.Event) {})
	if err := tel.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "spans could not be sent") || strings.Contains(log.String(), "pass@") || strings.Contains(log.String(), "Observation") {
		t.Errorf("%s", &log)
	}
}

func TestSpansAreSentByOTLP(t *testing.T) {
	got := make(chan *http.Request, 1)
	bodies := make(chan []byte, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- r
		bodies <- raw
	}))
	defer collector.Close()
	tel := open(t, func(o *telemetry.Options) {
		o.Traces = &telemetry.Traces{Endpoint: collector.URL + "/in/v1/traces", Headers: map[string]string{"Authorization": "Bearer c"}}
	})
	observe(tel, nil, 200, func(e *reqctx.Event) { e.SetSource("main") })
	if err := tel.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	r, body := <-got, <-bodies
	if r.URL.Path != "/in/v1/traces" || r.Header.Get("Authorization") != "Bearer c" || !bytes.Contains(body, []byte("/fhir/{source}/Observation")) {
		t.Errorf("%s %v %q", r.URL, r.Header, body)
	}
}

func TestNoTelemetryIsNoTrouble(t *testing.T) {
	var tel *telemetry.Telemetry
	tel.Audited(t.Context(), true)
	tel.Cached(t.Context(), "", "", "")
	if err := tel.Watch(nil); err != nil {
		t.Error(err)
	}
	tel.Called(t.Context(), telemetry.Call{}, 0)
	tel.Received(t.Context(), "", 1)
	_, end := tel.Calling(t.Context(), telemetry.Call{})
	end(telemetry.Call{}, 0)
	if tel.Observe(nil) != nil || tel.Meter() != nil || tel.Close(t.Context()) != nil {
		t.Error("a nil Telemetry does something")
	}
}

// What a request costs here is bounded: it stands in the way of every one.
func TestCountingIsCheap(t *testing.T) {
	tel := open(t)
	call := telemetry.Call{Source: "main", Kind: "search", Status: 200}
	ctx := context.Background()
	if n := testing.AllocsPerRun(200, func() { tel.Called(ctx, call, time.Millisecond) }); n > 6 {
		t.Errorf("%v allocations", n)
	}
}

// An alert on a rise from nothing needs the nothing.
func TestWhatIsWorthAnAlertBeginsAtZero(t *testing.T) {
	tel, err := telemetry.New(telemetry.Options{Sources: []string{"main"}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`portico_audit_writes_total{result="failed"} 0`, `portico_resources_total{outcome="withheld",reason="foreign",source="main"} 0`,
		`portico_resources_total{outcome="withheld",reason="malformed",source="main"} 0`, `portico_spans_lost_total 0`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}
