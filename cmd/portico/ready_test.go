package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
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
		w.parts = []part{{name: "store", needed: true, ping: func(context.Context) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return nil
		}}}
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
	w.parts = []part{{name: "store", needed: true, ping: func(ctx context.Context) error { return ctx.Err() }}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.readyz(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/readyz", nil).WithContext(ctx))
	if state := w.watch.of("store"); state != wellState {
		t.Errorf("the store is noted as %q", state)
	}
}

// What /readyz says of the store, to those who balance the load and to operators.
func TestReadyzSaysWhatIsWrongWithTheStore(t *testing.T) {
	s := serveApps(t, "")
	db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(s.path), "portico.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, row := range []struct {
		name, statement string
		code            int
		public, said    string
	}{
		{"all is well", `SELECT 1`, 0, "ready\n", "store: ok\n"},
		{"a newer Portico has migrated it, and this one serves until it is replaced", `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`,
			0, "ready\ndegraded store: schema newer\n", "store: degraded: schema newer\n"},
		{"an older database was put back", `DELETE FROM goose_db_version WHERE version_id > 2`, 1, "not ready\nfailed store: schema older\n", "store: failed: schema older\n"},
		{"it is put right", `INSERT INTO goose_db_version (version_id, is_applied) VALUES (7, 1)`, 0, "ready\n", "store: ok\n"},
		{"nothing can sign", `DELETE FROM signing_keys WHERE alg = 'RS256'`, 1, "not ready\nfailed store: signing key missing\n", "store: failed: signing key missing\n"},
	} {
		if _, err := db.ExecContext(t.Context(), row.statement); err != nil {
			t.Fatal(err)
		}
		status, body := ask(t, http.MethodGet, s.base+"/readyz", "", "")
		// The EHR and the provider of this configuration are nobody's.
		var lines []string
		for line := range strings.Lines(body) {
			if !strings.Contains(line, "source ") && !strings.Contains(line, "provider ") {
				lines = append(lines, line)
			}
		}
		if want := map[int]int{0: 200, 1: 503}[row.code]; status != want || strings.Join(lines, "") != row.public {
			t.Errorf("%s: %d %q", row.name, status, body)
		}
		code, out, errs := runFor(t, "ready", "-config", s.path)
		if code != row.code || !strings.Contains(out, row.said) || !strings.Contains(out, "listener: ok\n") {
			t.Errorf("%s: %d %q %q", row.name, code, out, errs)
		}
	}
	// What the message says helps.
	if code, _, errs := runFor(t, "keys", "rotate", "-config", s.path); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	if code, out, errs := runFor(t, "ready", "-config", s.path); code != 0 {
		t.Errorf("after a rotation: %d %q %q", code, out, errs)
	}
}

// While requests under way finish, the operator's listener says that this server
// is going; the public one takes nobody any more.
func TestAServerThatDrainsSaysSo(t *testing.T) {
	s := serveApps(t, "")
	address := strings.TrimPrefix(s.base, "http://")
	under, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = under.Close() }()
	const form = "grant_type=nothing"
	if _, err := fmt.Fprintf(under, "POST /oauth/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", address, len(form)); err != nil {
		t.Fatal(err)
	}
	// The server asks for the body when somebody reads it: the request is under way.
	if _, err := io.ReadFull(under, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))); err != nil {
		t.Fatal(err)
	}
	s.stop()
	for deadline := time.Now().Add(10 * time.Second); ; {
		code, out, errs := runFor(t, "ready", "-config", s.path)
		if code == 1 && strings.Contains(out, "listener: failed: draining\n") && strings.Contains(errs, "not ready") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %q %q", code, out, errs)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("somebody new is let in")
		}
	}
	if _, err := io.WriteString(under, form); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(under)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
		t.Errorf("the request under way: %v %q", err, answer)
	}
}
