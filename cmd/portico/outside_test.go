package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
)

// A document store that fails is left alone, and counted; the others go on.
func TestEachPlaceOfAttachmentsIsLeftAloneByItself(t *testing.T) {
	var failed atomic.Int64
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		failed.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer bad.Close()
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer good.Close()
	s := config.Source{ID: "main", Timeout: time.Second, Attachments: []config.Attachments{
		{URL: bad.URL + "/store"}, {URL: good.URL + "/signed", Credentials: true}, {URL: good.URL + "/store"},
	}, Limits: config.SourceLimits{Attempts: 1, Concurrent: 4, Wait: time.Second, Total: time.Minute, OpenFor: time.Hour}}
	cfg := &config.Config{Sources: []config.Source{s}}
	w := newWiring(cfg, slog.New(slog.DiscardHandler))
	var err error
	if w.telemetry, err = newTelemetry(cfg, w.log); err != nil {
		t.Fatal(err)
	}
	base := func(url string) fhir.Base {
		b, err := fhir.ParseBase(url)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	way, err := w.outside(s, base("https://ehr.invalid/fhir"), []fhir.Base{base(bad.URL + "/store"), base(good.URL + "/signed"), base(good.URL + "/store")})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: way}
	defer client.CloseIdleConnections()
	get := func(url string) int {
		res, err := client.Get(url)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for range 30 {
		get(bad.URL + "/store/x")
	}
	if n := failed.Load(); n < 10 || n > 20 {
		t.Errorf("the one that fails was asked %d times of 30", n)
	}
	if status := get(good.URL + "/store/x"); status != http.StatusOK {
		t.Errorf("the other: %d", status)
	}
	for _, url := range []string{good.URL + "/signed/x", good.URL + "/elsewhere", good.URL + "/store2/x"} {
		if status := get(url); status != 0 {
			t.Errorf("%s is nothing that is asked without credentials: %d", url, status)
		}
	}
	out := httptest.NewRecorder()
	w.telemetry.Metrics().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`portico_upstream_requests_total{kind="file",result="5xx",source="main"}`, `portico_upstream_requests_total{kind="file",result="2xx",source="main"} 1`} {
		if !strings.Contains(out.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}
