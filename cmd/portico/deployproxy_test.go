package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/changes"
	"github.com/portico-fhir/portico/internal/services"
)

// proxyTakes gives how many bytes of a body the proxy lets through.
func proxyTakes(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(deployDir, "compose/nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*client_max_body_size (\d+)m;$`).FindSubmatch(raw)
	if m == nil {
		t.Fatal("no client_max_body_size")
	}
	megabytes, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return megabytes << 20
}

// What Portico would take must reach it, and a little more, so that it is Portico
// that says what is too much.
func TestTheProxyTakesMoreThanPortico(t *testing.T) {
	if takes := proxyTakes(t); takes <= changes.MaxBody || takes <= gateway.MaxWrite {
		t.Errorf("%d bytes", takes)
	}
	raw, err := os.ReadFile(filepath.Join(deployDir, "compose/nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *http.Request, 1)
	portico := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		r.ContentLength = n
		got <- r
		if r.URL.Path == "/broken" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer portico.Close()
	pool := x509.NewCertPool()
	pair := writeCert(t, t.TempDir(), "portico.example.org", time.Now().Add(time.Hour), pool)
	address := runProxy(t, string(raw), strings.TrimPrefix(portico.URL, "http://"), pair)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "portico.example.org"}}}
	defer client.CloseIdleConnections()
	send := func(path string, size int) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+path, bytes.NewReader(make([]byte, size)))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "portico.example.org"
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		res, err := client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			err = errors.Join(err, res.Body.Close())
		}
		return res, err
	}
	if _, err := send("/notify/main?"+strings.Repeat("x", gateway.MaxLink), changes.MaxBody+1); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-got:
		if r.ContentLength != changes.MaxBody+1 || r.Header.Get("X-Forwarded-For") != "127.0.0.1" || r.Header.Get("Traceparent") != "" || r.Host != "portico.example.org" {
			t.Errorf("%d bytes for %s with %v", r.ContentLength, r.Host, r.Header)
		}
	default:
		t.Error("it did not arrive")
	}
	if res, err := send("/", proxyTakes(t)+1); err == nil && res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too much: %d", res.StatusCode)
	}
	if _, err := send("/broken", 0); err == nil {
		t.Error("a broken answer arrived whole")
	}
}

// runProxy runs the proxy of the compose file on this machine.
func runProxy(t *testing.T, text, portico string, pair config.TLS) (address string) {
	t.Helper()
	return services.StartProxy(t, func(dir string, port int) string {
		for old, with := range map[string]string{
			"listen 8443 ssl;": fmt.Sprintf("listen 127.0.0.1:%d ssl;", port), "http2 on;": "", // which Debian's nginx does not know yet
			"server portico-1:8080 ": "server " + portico + " ", "server portico-2:8080 max_fails=2 fail_timeout=5s;": "",
			"/run/secrets/tls_certificate": pair.CertFile, "/run/secrets/tls_key": pair.KeyFile,
		} {
			if !strings.Contains(text, old) {
				t.Errorf("there is no %q", old)
			}
			text = strings.ReplaceAll(text, old, with)
		}
		return strings.ReplaceAll(text, "_path /tmp/", "_path "+dir+"/")
	})
}
