package handler_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/handler"
)

func TestWhatIsBeyondTheLimitIsRefusedAtOnceAndHealthIsNot(t *testing.T) {
	inside, leave := make(chan struct{}, 2), make(chan struct{})
	h := handler.Shed(handler.Shedding{
		Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				inside <- struct{}{}
				<-leave
			}
		}),
		Most: 2, Exempt: func(r *http.Request) bool { return r.URL.Path == "/livez" },
		Refuse: func(w http.ResponseWriter, r *http.Request, after time.Duration) bool {
			if r.URL.Path != "/fhir" || after != handler.RetryShed {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("outcome"))
			return true
		},
	})
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { ask("/slow") })
		<-inside
	}
	for path, want := range map[string]struct {
		status int
		retry  string
		body   string
	}{
		"/livez": {200, "", ""}, "/quick": {503, "1", "Service Unavailable\n"}, "/fhir": {503, "", "outcome"},
	} {
		if w := ask(path); w.Code != want.status || w.Header().Get("Retry-After") != want.retry || w.Body.String() != want.body {
			t.Errorf("%s: %d %q %q", path, w.Code, w.Header().Get("Retry-After"), w.Body.String())
		}
	}
	close(leave)
	all.Wait()
	if w := ask("/quick"); w.Code != http.StatusOK {
		t.Errorf("when there is room again: %d", w.Code)
	}
}

func TestAPanicGivesThePlaceBack(t *testing.T) {
	h := handler.Shed(handler.Shedding{Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") }), Most: 1})
	for range 3 {
		func() {
			defer func() { _ = recover() }()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			t.Errorf("answered %d", w.Code)
		}()
	}
}
