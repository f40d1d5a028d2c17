package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/audit/audittest"
	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/services"
	"github.com/portico-fhir/portico/smart/token"
)

// cutter stands between a store and PostgreSQL and cuts connections.
type cutter struct {
	to     string
	before atomic.Bool  // the next COMMIT does not reach the server
	after  atomic.Bool  // what the server says to it does not reach the store
	bytes  atomic.Int64 // each connection is cut after about so many; 0: never
	cuts   atomic.Int64
}

// through gives the URL of a database by way of a cutter.
func through(t *testing.T, place string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(place)
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{to: u.Host}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	u.Host = l.Addr().String()
	return c, u.String()
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer server.Close()
	left, swallow := new(atomic.Int64), new(atomic.Bool)
	left.Store(1 << 60)
	if n := c.bytes.Load(); n > 0 {
		left.Store(rand.Int64N(2 * n))
	}
	done := make(chan struct{}, 2)
	go func() { c.pass(client, server, left, swallow, true); done <- struct{}{} }()
	go func() { c.pass(server, client, left, swallow, false); done <- struct{}{} }()
	<-done
}

// pass copies until the connection is to be cut.
func (c *cutter) pass(from, to net.Conn, left *atomic.Int64, swallow *atomic.Bool, up bool) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if up && bytes.Contains(buffer[:n], []byte("Q\x00\x00\x00\x0bcommit\x00")) {
			if c.before.CompareAndSwap(true, false) {
				c.cuts.Add(1)
				return
			}
			if c.after.CompareAndSwap(true, false) {
				swallow.Store(true)
			}
		}
		if !up && swallow.Load() {
			c.cuts.Add(1)
			return
		}
		rest := left.Add(-int64(n)) + int64(n)
		if _, err := io.Copy(to, bytes.NewReader(buffer[:max(0, min(int64(n), rest))])); err != nil || rest <= int64(n) {
			c.cuts.Add(1)
			return
		}
	}
}

// Whether a COMMIT whose connection broke was done nobody can tell. Whoever asked
// is told that it failed; a code or a refresh token is then good once or not at all.
func TestAConnectionThatIsCutInTheMiddleOfACommit(t *testing.T) {
	for name, cut := range map[string]struct {
		arm     func(*cutter)
		arrived bool // the server did it
	}{
		"before it reaches the server": {func(c *cutter) { c.before.Store(true) }, false},
		"before its answer arrives":    {func(c *cutter) { c.after.Store(true) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, place := through(t, services.Database(t))
			s := openAt(t, at(place))
			now := time.Now()
			for _, id := range []string{"by code", "by refresh"} {
				g := token.Grant{ID: id, Client: "app", Created: now, Expires: now.Add(time.Hour)}
				if err := errors.Join(
					s.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf(id), Expires: g.Expires}),
					s.CreateRefresh(t.Context(), id, token.Refresh{Digest: token.DigestOf(id), Issued: now, Expires: g.Expires}),
				); err != nil {
					t.Fatal(err)
				}
			}
			for what, use := range map[string]func() error{
				"code":    func() error { _, _, err := s.UseCode(t.Context(), token.DigestOf("by code"), now); return err },
				"refresh": func() error { _, err := s.UseRefresh(t.Context(), token.DigestOf("by refresh"), now); return err },
				"audit":   func() error { return s.Record(t.Context(), audittest.Event("cut")) },
			} {
				before := c.cuts.Load()
				cut.arm(c)
				if err := use(); fault.KindOf(err) != fault.Unavailable || c.cuts.Load() != before+1 {
					t.Errorf("%s: %v, cut %d times", what, err, c.cuts.Load()-before)
				}
				again := use()
				if !cut.arrived && again != nil {
					t.Errorf("%s, which was not used: %v", what, again)
				}
				if cut.arrived && !errors.Is(again, token.ErrReplayed) && !errors.Is(again, audit.ErrDuplicate) {
					t.Errorf("%s, which was used: %v", what, again)
				}
				if third := use(); !errors.Is(third, token.ErrReplayed) && !errors.Is(third, audit.ErrDuplicate) {
					t.Errorf("%s, for the third time: %v", what, third)
				}
			}
			checkTrail(t, s.Events, []string{"cut"}, nil)
		})
	}
}

// Connections are cut at any byte, in the middle of messages too: nothing is done
// twice, what was promised is there, and every failure says that the database is away.
func TestConnectionsThatAreCutAnywhere(t *testing.T) {
	direct := services.Database(t)
	s := openAt(t, at(direct))
	c, place := through(t, direct)
	each := [2]*store.Store{openAt(t, at(place)), openAt(t, at(place))}
	now := time.Now()
	var mu sync.Mutex
	var promised []string
	away := 0
	note := func(what string, err error, fine ...error) bool {
		if err == nil {
			return true
		}
		for _, f := range fine {
			if errors.Is(err, f) {
				return false
			}
		}
		mu.Lock()
		defer mu.Unlock()
		away++
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v is %v", what, err, fault.KindOf(err))
		}
		return false
	}
	c.bytes.Store(6000)
	cycle(each) // what was connected before is not cut
	many(8, func() {
		for range 25 {
			id := fmt.Sprint(rand.Int64())
			g := token.Grant{ID: id, Client: "app", Created: now, Expires: now.Add(time.Hour)}
			if err := s.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf(id), Expires: g.Expires}); err != nil {
				t.Error(err)
				return
			}
			won := 0
			for i := range 4 {
				if _, _, err := each[i%2].UseCode(t.Context(), token.DigestOf(id), now); note("code", err, token.ErrReplayed) {
					won++
				}
			}
			if won > 1 {
				t.Errorf("a code was good %d times", won)
			}
			_, err := each[0].Keys(t.Context())
			note("list", err)
			_, _, err = each[1].Access(t.Context(), token.DigestOf("none"), now)
			note("read", err, token.ErrNotFound)
			if note("audit", each[0].Record(t.Context(), audittest.Event(id))) {
				mu.Lock()
				promised = append(promised, id)
				mu.Unlock()
			}
		}
	})
	t.Logf("%d connections were cut, %d calls failed, %d events were promised", c.cuts.Load(), away, len(promised))
	if c.cuts.Load() < 20 || away == 0 || len(promised) == 0 {
		t.Error("that is no test")
	}
	c.bytes.Store(0)
	kept := keptInOrder(t, s)
	for _, id := range promised {
		if !kept[id] {
			t.Errorf("event %s was promised and is gone", id)
		}
	}
}

func cycle(each [2]*store.Store) {
	for _, s := range each {
		s.Idle()
	}
}
