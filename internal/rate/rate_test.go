package rate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/rate"
)

func TestEachPartyHasItsOwnCount(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	l := rate.New(2, time.Minute)
	for i, c := range []struct {
		addr string
		want bool
	}{
		{"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true},
		{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8:0:0:ffff::", false}, {"2001:db8:0:1::", true},
		{"fe80::1%a", true}, {"fe80::1%b", true}, {"fe80::2", false}, {"", true}, {"x", true}, {"y", false},
	} {
		wait, ok := l.Allow(c.addr, now.Add(10*time.Second))
		if ok != c.want || (!ok && wait != time.Minute) {
			t.Errorf("%d: %s: %v after %v", i, c.addr, ok, wait)
		}
	}
	if _, ok := l.Allow("192.0.2.1", now.Add(70*time.Second)); !ok {
		t.Error("the next window does not begin")
	}
	if _, ok := l.Allow("192.0.2.3", now.Add(-time.Hour)); !ok {
		t.Error("a clock that was set back locks everybody out")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l, now := rate.New(1, time.Minute), time.Unix(1e9, 0)
	allowed := 0
	for i := range 20000 {
		if _, ok := l.AllowKey(fmt.Sprint("k", i), now); ok {
			allowed++
		}
	}
	if allowed != 10001 {
		t.Errorf("%d were allowed: all beyond the bound share one count", allowed)
	}
	if _, ok := l.AllowKey("k1", now); ok {
		t.Error("somebody known counts anew")
	}
}
