package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/config"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// started serves h until the test ends or stop is called, and checks that
// nothing is left behind.
func started(t *testing.T, o listenOptions, h http.Handler) (l *listener, stop func() error) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	o.Log = quiet()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	l, err := listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.serve(ctx, h) }()
	var result error
	done := false
	stop = func() error {
		if !done {
			done = true
			cancel()
			result = <-ended
		}
		return result
	}
	t.Cleanup(func() {
		_ = stop()
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		goleak.VerifyNone(t, leaks)
	})
	return l, stop
}

// fetcher is a client of its own, whose connections end with the test.
func fetcher(t *testing.T, c *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: c != nil}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func TestPlainHTTPIsRefusedOffLoopback(t *testing.T) {
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "nonsense", "localhost.example.invalid:0"} {
		l, err := listen(t.Context(), listenOptions{Address: address, Log: quiet()})
		if err == nil {
			t.Errorf("%s: listens on %s", address, l.Addr())
			_ = l.Close()
		}
	}
	for _, o := range []listenOptions{
		{Address: "127.0.0.1:0"}, {Address: "127.3.2.1:0"}, {Address: "localhost:0"},
		{Address: "0.0.0.0:0", InsecurePlainHTTP: true},
	} {
		o.Log = quiet()
		l, err := listen(t.Context(), o)
		if err != nil {
			t.Errorf("%s: %v", o.Address, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTakenPortIsAnErrorAtOnce(t *testing.T) {
	l, _ := started(t, listenOptions{}, http.NotFoundHandler())
	if _, err := listen(t.Context(), listenOptions{Address: l.Addr().String(), Log: quiet()}); err == nil {
		t.Error("two listeners on one port")
	}
}

// streamFor writes chunks with a pause before each.
func streamFor(chunks int, pause time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		for range chunks {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(pause):
			}
			if _, err := io.WriteString(w, "chunk\n"); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
		}
	})
}

// TestAnswerMayStreamLongerThanAnyLimit: the pauses are longer than a stall may
// last, since nobody stalls: Portico itself waits, for an EHR for instance.
func TestAnswerMayStreamLongerThanAnyLimit(t *testing.T) {
	const stall = 150 * time.Millisecond
	dir, pool := t.TempDir(), x509.NewCertPool()
	files := writeCert(t, dir, "portico.test", time.Now().Add(time.Hour), pool)
	for name, c := range map[string]struct {
		tls    *config.TLS
		client *tls.Config
		scheme string
		proto  int
	}{
		"HTTP/1.1": {nil, nil, "http", 1},
		"HTTP/2":   {&files, &tls.Config{RootCAs: pool, ServerName: "portico.test"}, "https", 2},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := started(t, listenOptions{Stall: stall, TLS: c.tls}, streamFor(5, 2*stall))
			resp, err := fetcher(t, c.client).Post(c.scheme+"://"+l.Addr().String(), "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || strings.Count(string(body), "chunk") != 5 {
				t.Errorf("got %q, %v", body, err)
			}
			if resp.ProtoMajor != c.proto {
				t.Errorf("spoke %s", resp.Proto)
			}
		})
	}
}

func TestClientThatTakesNothingIsCutOff(t *testing.T) {
	failed := make(chan error, 1)
	l, _ := started(t, listenOptions{Stall: 200 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range 256 {
			if _, err := w.Write(chunk); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}))
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the write ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a client that takes nothing holds a handler")
	}
}

func TestBodyThatStopsIsGivenUp(t *testing.T) {
	failed := make(chan error, 1)
	l, _ := started(t, listenOptions{Stall: 200 * time.Millisecond}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
	}))
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a body that never comes holds a handler")
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	l, _ := started(t, listenOptions{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	req, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Large", strings.Repeat("a", 2*maxHeader))
	resp, err := fetcher(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", resp.StatusCode)
	}
}

func TestStoppingLetsRequestsFinish(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	l, stop := started(t, listenOptions{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-finish
		if r.Context().Err() != nil {
			t.Error("the request was cancelled")
		}
		_, _ = io.WriteString(w, "whole")
	}))
	body := make(chan string, 1)
	client := fetcher(t, nil)
	go func() {
		resp, err := client.Get("http://" + l.Addr().String())
		if err != nil {
			body <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			b = []byte(err.Error())
		}
		body <- string(b)
	}()
	<-begun
	go func() {
		// New connections are refused while the old one goes on.
		for {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				close(finish)
				return
			}
			_ = conn.Close()
			time.Sleep(time.Millisecond)
		}
	}()
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := <-body; got != "whole" {
		t.Errorf("the client got %q", got)
	}
}

func TestStoppingCutsWhatDoesNotFinish(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	l, stop := started(t, listenOptions{Drain: 100 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
		close(ended)
	}))
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	<-ended
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("the client saw a clean end of half an answer")
	}
}

func TestForwardedAddressIsBelievedOnlyFromTrustedProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"a stranger says he is somebody else", "198.51.100.7:1", []string{"203.0.113.9"}, "198.51.100.7"},
		{"a client puts a name in front", "10.0.0.5:1", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"a client claims to be a proxy's address", "10.0.0.5:1", []string{"10.9.9.9, 198.51.100.7"}, "198.51.100.7"},
		{"rubbish from a client behind a proxy", "10.0.0.5:1", []string{"<script>, 198.51.100.7"}, "198.51.100.7"},
		{"rubbish from the proxy itself", "10.0.0.5:1", []string{"203.0.113.9, unknown"}, "10.0.0.5"},
		{"a proxy", "10.0.0.5:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.0.0.5:1", []string{"203.0.113.9, 10.0.0.6"}, "203.0.113.9"},
		{"two header lines", "10.0.0.5:1", []string{"198.51.100.7", "203.0.113.9"}, "203.0.113.9"},
		{"a proxy that says nothing", "10.0.0.5:1", nil, "10.0.0.5"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.5]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"endless hops", "10.0.0.5:1", []string{strings.Repeat("203.0.113.9,", 50) + strings.Repeat("10.0.0.6,", 50) + "10.0.0.6"}, "10.0.0.6"},
		{"no address at all", "pipe", []string{"203.0.113.9"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			if got := clientAddr(trusted)(r); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
