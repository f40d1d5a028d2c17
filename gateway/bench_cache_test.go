package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
)

// BenchmarkCache measures the search of BenchmarkSearch without the connections
// to the app: fetched each time, judged anew from what the EHR answered before,
// and given as it left before. The first has the EHR's own work in it.
func BenchmarkCache(b *testing.B) {
	for name, control := range map[string]string{"miss": "no-cache", "upstream-hit": "", "released-hit": ""} {
		b.Run(name, func(b *testing.B) {
			h, _, _ := withCacheOf(b, 0, cache.Options{TTL: func(string, string) time.Duration { return time.Hour }}, labs(20)...)
			router := mux.NewRouter().SkipClean(true).UseEncodedPath()
			h.gateway.Mount(router)
			path := "/fhir/ehr/Observation?category=laboratory"
			ask := func(prefer string) {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Header.Set("Authorization", "Bearer "+alice)
				if control != "" {
					r.Header.Set("Cache-Control", control)
				}
				if prefer != "" {
					r.Header.Set("Prefer", prefer)
				}
				w := httptest.NewRecorder()
				router.ServeHTTP(w, r)
				if n, _ := io.Copy(io.Discard, w.Body); w.Code != http.StatusOK || n < 15_000 {
					b.Fatalf("%d, %d bytes", w.Code, n)
				}
			}
			ask("")
			b.ReportAllocs()
			began := cachetest.CPU()
			n := 0
			for b.Loop() {
				n++
				prefer := ""
				if name == "upstream-hit" { // another question each time, the same of the EHR
					prefer = "x=" + time.Duration(n).String()
				}
				ask(prefer)
				h.sink.take()
			}
			if used := cachetest.CPU() - began; used > 0 {
				b.ReportMetric(float64(n)/used.Seconds(), "req/cpu-s")
			}
		})
	}
}
