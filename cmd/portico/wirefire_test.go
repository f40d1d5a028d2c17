package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// fire is a load of one kind of request over connections that stay open.
type fire struct {
	address string // host:port
	tls     *tls.Config
	request func(connection, n int) string // whole, as it goes over the wire
	check   func(connection int, status int, body []byte) error
	each    int // connections
	lasts   time.Duration
}

// burst is what came of it.
type burst struct {
	requests int
	took     time.Duration
	times    []time.Duration // sorted
}

func (b burst) percentile(p int) time.Duration { return b.times[(len(b.times)-1)*p/100] }

// run asks over all connections at once, the next as soon as the one before has
// been answered, and looks at every answer.
func (f fire) run(t *testing.T) burst {
	t.Helper()
	var out burst
	var mu sync.Mutex
	var all sync.WaitGroup
	begun := time.Now()
	for i := range f.each {
		all.Go(func() {
			times, err := f.connection(i, begun.Add(f.lasts))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
			out.times = append(out.times, times...)
		})
	}
	all.Wait()
	out.took, out.requests = time.Since(begun), len(out.times)
	if out.requests == 0 || t.Failed() {
		t.FailNow()
	}
	slices.Sort(out.times)
	return out
}

func (f fire) connection(i int, until time.Time) ([]time.Duration, error) {
	var c net.Conn
	var err error
	if f.tls != nil {
		c, err = tls.Dial("tcp", f.address, f.tls)
	} else {
		c, err = net.Dial("tcp", f.address)
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	in, body := bufio.NewReaderSize(c, 64<<10), bytes.Buffer{}
	var times []time.Duration
	for n := 0; time.Now().Before(until); n++ {
		sent := time.Now()
		if _, err := io.WriteString(c, f.request(i, n)); err != nil {
			return times, err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return times, err
		}
		body.Reset()
		if _, err := body.ReadFrom(resp.Body); err != nil {
			return times, err
		}
		times = append(times, time.Since(sent))
		if err := f.check(i, resp.StatusCode, body.Bytes()); err != nil {
			return times, fmt.Errorf("request %d: %w", n, err)
		}
	}
	return times, nil
}

// unchanging wants each connection to get one answer all the time.
func unchanging(connections int) func(int, int, []byte) error {
	first := make([][]byte, connections)
	return func(i, status int, body []byte) error {
		if first[i] == nil {
			first[i] = bytes.Clone(body)
		}
		if status != http.StatusOK || !bytes.Equal(body, first[i]) {
			return fmt.Errorf("%d, %d bytes, where there were %d at first", status, len(body), len(first[i]))
		}
		return nil
	}
}
