package redisdb_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/gateway/budget"
	"github.com/portico-fhir/portico/gateway/budget/budgettest"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/internal/redisdb"
	"github.com/portico-fhir/portico/internal/services"
)

func TestMain(m *testing.M) {
	redisdb.Quiet()
	// The library goes on dialling for a while after its client was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

func connect(t testing.TB, o redisdb.Options) redis.UniversalClient {
	t.Helper()
	c, err := redisdb.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// usable runs all that uses Redis over a client; empty empties Redis.
func usable(t *testing.T, c redis.UniversalClient, empty func(ctx context.Context) error) {
	t.Helper()
	fresh := func(t *testing.T) {
		t.Helper()
		if err := empty(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := redisdb.Ping(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Run("cache", func(t *testing.T) {
		cachetest.Run(t, func(t *testing.T) cachetest.Tier { fresh(t); return cachetest.Tier{Redis: c} })
	})
	t.Run("budget", func(t *testing.T) {
		budgettest.Run(t, func(t *testing.T) budget.Budget {
			fresh(t)
			b, err := budget.NewRedis(c, bytes.Repeat([]byte("s"), 32))
			if err != nil {
				t.Fatal(err)
			}
			return b
		})
	})
}

// get makes a request whose answer must be as given, and says whether the cache
// had it.
func get(t *testing.T, b *cachetest.Bench, patient, text string) (hit bool) {
	t.Helper()
	body, status, err := b.Get(patient)
	if err != nil || body != cachetest.Bundle(text) {
		t.Fatalf("%s got %q, %v; want %s", patient, body, err, text)
	}
	return strings.Contains(status.CacheStatus(), "; hit")
}

func TestASetThatSentinelWatches(t *testing.T) {
	w := services.StartWatched(t)
	o := redisdb.Options{Addresses: []string{w.Sentinel.Addr}, Master: w.Name}
	c := connect(t, o)
	usable(t, c, func(ctx context.Context) error { return c.FlushAll(ctx).Err() })

	a, b := cachetest.NewBench(t, cachetest.Tier{Redis: c}), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, o)})
	b.Up = a.Up
	get(t, a, "ann", "first")
	cachetest.Until(t, func() bool { return get(t, b, "ann", "first") })
	cachetest.Until(t, func() bool {
		n, err := c.Do(t.Context(), "WAIT", 1, 100).Int()
		return err == nil && n == 1
	})
	// The replica misses a change that was acknowledged, and becomes the master.
	w.Replica.Freeze(t)
	if err := c.ClientKillByFilter(t.Context(), "TYPE", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	a.Up.Say(cachetest.Bundle("second"))
	if err := a.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	w.Master.Kill(t)
	w.Replica.Thaw(t)
	direct := connect(t, redisdb.Options{Addresses: []string{w.Replica.Addr}})
	was, err := direct.Keys(t.Context(), "portico:[ae]:*").Result()
	if err != nil || len(was) < 3 {
		t.Fatalf("the replica has %v, %v: the epochs and the entry should be there, so this shows nothing", was, err)
	}
	for _, bench := range []*cachetest.Bench{a, b} {
		get(t, bench, "ann", "second")
	}
	w.Promoted(t)
	for _, bench := range []*cachetest.Bench{a, b, cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, o)})} {
		bench.Up.Say(cachetest.Bundle("second"))
		cachetest.Until(t, func() bool { return get(t, bench, "ann", "second") })
	}
	// It is the shared one again.
	for i := range 6 {
		text := fmt.Sprint("v", i)
		a.Up.Say(cachetest.Bundle(text))
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		if err := from.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
			t.Fatal(err)
		}
		get(t, to, "ann", text)
	}
}

func TestACluster(t *testing.T) {
	nodes := services.StartCluster(t, 3)
	o := redisdb.Options{Addresses: []string{nodes[0].Addr, nodes[1].Addr}, Cluster: true}
	c := connect(t, o)
	all, ok := c.(*redis.ClusterClient)
	if !ok {
		t.Fatalf("%T", c)
	}
	usable(t, c, func(ctx context.Context) error {
		return all.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error { return one.FlushAll(ctx).Err() })
	})

	// Many patients at many sources lie on all nodes, and replicas share them.
	a, b := cachetest.NewBench(t, cachetest.Tier{Redis: c}), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, o)})
	b.Up = a.Up
	for i := range 40 {
		patient := fmt.Sprint("p", i)
		a.Up.Say(cachetest.Bundle(patient))
		get(t, a, patient, patient)
		cachetest.Until(t, func() bool { return get(t, b, patient, patient) })
	}
	for i, n := range nodes {
		held, err := connect(t, redisdb.Options{Addresses: []string{n.Addr}}).DBSize(t.Context()).Result()
		if err != nil || held == 0 {
			t.Errorf("node %d holds %d keys, %v", i, held, err)
		}
	}
	a.Up.Say(cachetest.Bundle("changed"))
	for i := range 40 {
		if err := a.Cache.Invalidate(t.Context(), "ehr", fmt.Sprint("p", i)); err != nil {
			t.Fatal(err)
		}
		get(t, b, fmt.Sprint("p", i), "changed")
	}
	// One node is gone: what lies there is asked of the EHR, and nobody gets
	// anything old.
	nodes[2].Kill(t)
	a.Up.Say(cachetest.Bundle("later"))
	for i := range 40 {
		_ = a.Cache.Invalidate(t.Context(), "ehr", fmt.Sprint("p", i))
		get(t, a, fmt.Sprint("p", i), "later")
	}
}

// commandsInDocs are those that the documentation says the Redis user needs.
func commandsInDocs(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("Portico needs `([A-Z ]+)` on keys `(portico:\\*)`").FindSubmatch(text)
	if m == nil {
		t.Fatal("the documentation names no commands")
	}
	out := []string{"~" + string(m[2]), "-@all"}
	for _, name := range strings.Fields(string(m[1])) {
		out = append(out, "+"+strings.ToLower(name))
	}
	return out
}

func TestTLSAndAUserWhoMayDoWhatTheDocumentationSays(t *testing.T) {
	rights := commandsInDocs(t)
	s := services.StartSecureRedis(t, append([]string{"--user", "portico", "on", ">not-for-any-log"}, rights...)...)
	secure, err := redisdb.TLS(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	o := redisdb.Options{Addresses: []string{s.TLSAddr}, Username: "portico", Password: "not-for-any-log", TLS: secure}
	operator := connect(t, redisdb.Options{Addresses: []string{s.Addr}})
	c := connect(t, o)
	usable(t, c, func(ctx context.Context) error { return operator.FlushAll(ctx).Err() })
	if refused, err := operator.Do(t.Context(), "ACL", "LOG").Slice(); err != nil || len(refused) != 0 {
		t.Errorf("commands that the documentation leaves out were refused: %v, %v", refused, err)
	}

	public, err := redisdb.TLS("")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := redisdb.TLS(services.StartSecureRedis(t).CAFile)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.TLSAddr)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*redisdb.Options){
		"the system's authorities":        func(o *redisdb.Options) { o.TLS = public },
		"another authority":               func(o *redisdb.Options) { o.TLS = elsewhere },
		"another name":                    func(o *redisdb.Options) { o.Addresses = []string{"localhost:" + port} },
		"no TLS":                          func(o *redisdb.Options) { o.TLS = nil },
		"another password":                func(o *redisdb.Options) { o.Password = "wrong" },
		"the user that everybody is else": func(o *redisdb.Options) { o.Username, o.Password = "default", "x"; o.TLS = public },
	} {
		bad := o
		change(&bad)
		if err := redisdb.Ping(t.Context(), connect(t, bad)); err == nil {
			t.Errorf("%s: it answers", name)
		} else if strings.Contains(err.Error(), "not-for-any-log") {
			t.Errorf("%s: the error holds the password", name)
		}
	}
}
