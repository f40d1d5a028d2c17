package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
)

// writeCert puts a new self-signed certificate for name into dir and trusts it
// in pool.
func writeCert(t *testing.T, dir, name string, until time.Time, pool *x509.CertPool) config.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := config.TLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if pool != nil && !pool.AppendCertsFromPEM(certPEM) {
		t.Fatal("the certificate was not taken")
	}
	for file, data := range map[string][]byte{
		c.CertFile: certPEM, c.KeyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// handshake gives the name in the certificate that a client is shown.
func handshake(address string, c *tls.Config) (string, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, c)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestTLSVersionsAndSuites(t *testing.T) {
	pool := x509.NewCertPool()
	files := writeCert(t, t.TempDir(), "portico.test", time.Now().Add(time.Hour), pool)
	for _, c := range []struct {
		name     string
		min      string
		low      uint16
		high     uint16
		suites   []uint16
		accepted bool
	}{
		{"1.0 is refused", "1.2", tls.VersionTLS10, tls.VersionTLS10, nil, false},
		{"1.1 is refused", "1.2", tls.VersionTLS11, tls.VersionTLS11, nil, false},
		{"1.2 without authenticated encryption is refused", "1.2", tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}, false},
		{"1.2 is accepted", "1.2", tls.VersionTLS12, tls.VersionTLS12, nil, true},
		{"1.3 is accepted", "1.2", tls.VersionTLS13, tls.VersionTLS13, nil, true},
		{"1.2 is refused where 1.3 is asked for", "1.3", tls.VersionTLS12, tls.VersionTLS12, nil, false},
		{"1.3 is accepted where 1.3 is asked for", "1.3", tls.VersionTLS13, tls.VersionTLS13, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			files.MinVersion = c.min
			l, _ := started(t, listenOptions{TLS: &files}, http.NotFoundHandler())
			_, err := handshake(l.Addr().String(), &tls.Config{
				RootCAs: pool, ServerName: "portico.test", MinVersion: c.low, MaxVersion: c.high, CipherSuites: c.suites,
			})
			if (err == nil) != c.accepted {
				t.Errorf("accepted: %v, want %v (%v)", err == nil, c.accepted, err)
			}
		})
	}
}

func TestPlainRequestToTLSPortGetsNoAnswerOfOurs(t *testing.T) {
	files := writeCert(t, t.TempDir(), "portico.test", time.Now().Add(time.Hour), nil)
	l, _ := started(t, listenOptions{TLS: &files}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served in the clear") }))
	resp, err := fetcher(t, nil).Get("http://" + l.Addr().String())
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("got %d", resp.StatusCode)
		}
	}
}

// handClock is a time that a test moves.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	pool := x509.NewCertPool()
	files := writeCert(t, dir, "first.test", time.Now().Add(time.Hour), pool)
	now := &handClock{at: time.Now()}
	var log lockedBuffer
	c, err := tlsConfig(files, now.now, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if tc, ok := conn.(*tls.Conn); ok {
				_ = tc.Handshake() // its failures show at the client
			}
			_ = conn.Close()
		}
	})
	defer wg.Wait()
	defer l.Close()
	shows := func(want string) {
		t.Helper()
		got, err := handshake(l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: want})
		if err != nil || got != want {
			t.Errorf("shown %q (%v), want %q", got, err, want)
		}
	}
	shows("first.test")

	writeCert(t, dir, "second.test", time.Now().Add(time.Hour), pool)
	shows("first.test") // not looked at again so soon
	now.pass(checkEvery)
	shows("second.test")

	if err := os.WriteFile(files.CertFile, []byte("half a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now.pass(checkEvery)
		shows("second.test")
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("the broken file is in the log %d times:\n%s", n, log.String())
	}

	if err := os.Remove(files.KeyFile); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now.pass(checkEvery)
		shows("second.test")
	}
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("the missing file is in the log %d times:\n%s", n, log.String())
	}

	writeCert(t, dir, "third.test", time.Now().Add(time.Hour), pool)
	now.pass(checkEvery)
	shows("third.test")
}

func TestCertificateOfAnotherKeyIsRefusedAtStart(t *testing.T) {
	one := writeCert(t, t.TempDir(), "one.test", time.Now().Add(time.Hour), nil)
	other := writeCert(t, t.TempDir(), "other.test", time.Now().Add(time.Hour), nil)
	for name, c := range map[string]config.TLS{
		"key of another": {CertFile: one.CertFile, KeyFile: other.KeyFile},
		"no key":         {CertFile: one.CertFile, KeyFile: "none"},
		"no certificate": {CertFile: "none", KeyFile: one.KeyFile},
	} {
		if _, err := listen(t.Context(), listenOptions{Address: "127.0.0.1:0", TLS: &c, Log: quiet()}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestExpiredCertificateIsSaid(t *testing.T) {
	files := writeCert(t, t.TempDir(), "old.test", time.Now().Add(-time.Minute), nil)
	var log bytes.Buffer
	if _, err := tlsConfig(files, time.Now, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "expired") {
		t.Errorf("log: %q", log.String())
	}
}
