package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/seal"
)

// heap gives how many bytes are reachable.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What is kept must cost about what it counts for: neither small answers, nor an
// EHR's long headers, nor an app's long queries may hold more than the bound.
func TestMemoryHoldsNoMoreThanItsBound(t *testing.T) {
	const bound, asked = 4 << 20, 6000
	long := strings.Repeat("x", 12<<10)
	for name, row := range map[string]struct {
		etag     string
		released bool
	}{
		"small answers":                              {},
		"small answers with long ETags":              {etag: long},
		"answers as they left, cut from larger ones": {released: true},
	} {
		t.Run(name, func(t *testing.T) {
			up := &cachetest.Upstream{}
			up.Do(func(context.Context, string) (*upstream.Answer, error) {
				return &upstream.Answer{Body: io.NopCloser(strings.NewReader(cachetest.Bundle("small"))), ETag: strings.Clone(row.etag)}, nil
			})
			ring, err := seal.NewRing(bytes.Repeat([]byte{1}, seal.KeySize))
			if err != nil {
				t.Fatal(err)
			}
			c, err := cache.New(cache.Options{Ring: ring, Memory: bound, TTL: func(string, string) time.Duration { return time.Hour }})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			before := heap()
			for i := range asked {
				v := c.View(t.Context(), cache.Request{Source: "north", Patient: "a", Upstream: up})
				answer, err := v.Search(t.Context(), "Observation", fmt.Sprint("_id=", i))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				if row.released {
					v.Keep(cache.Released{Bytes: []byte(strings.Clone(long))[:2]}, fmt.Sprint(i))
				}
			}
			c.Bytes()
			held := heap() - before
			runtime.KeepAlive(c)
			t.Logf("%d KiB held, %d KiB counted", held>>10, c.Bytes()>>10)
			if held > 3*bound {
				t.Errorf("%d KiB held where %d KiB is the bound", held>>10, bound>>10)
			}
		})
	}
}
