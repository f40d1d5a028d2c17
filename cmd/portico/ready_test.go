package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portico-fhir/portico/config"
)

// Anybody may ask /readyz, as often as they like: what it asks in turn must not
// grow with that.
func TestManyWhoAskWhetherItIsReadyAskTheStoreOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWiring(&config.Config{}, slog.New(slog.DiscardHandler))
		var now, most atomic.Int64
		w.parts = []part{{"store", func(context.Context) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return nil
		}, true}}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				out := httptest.NewRecorder()
				w.readyz(out, httptest.NewRequest(http.MethodGet, "/readyz", nil))
				if out.Code != http.StatusOK {
					t.Errorf("%d", out.Code)
				}
			})
		}
		all.Wait()
		if most.Load() != 1 {
			t.Errorf("the store was asked by %d at once", most.Load())
		}
	})
}

// Who asks and hangs up at once must not make operators believe that the
// database is down.
func TestWhoHangsUpDoesNotMakeTheStoreLookDown(t *testing.T) {
	w := newWiring(&config.Config{}, slog.New(slog.DiscardHandler))
	w.parts = []part{{"store", func(ctx context.Context) error { return ctx.Err() }, true}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.readyz(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/readyz", nil).WithContext(ctx))
	if state := w.watch.of("store"); state != wellState {
		t.Errorf("the store is noted as %q", state)
	}
}
