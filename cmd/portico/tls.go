package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/portico-fhir/portico/config"
)

// checkEvery bounds how often the certificate's files are looked at.
const checkEvery = time.Second

// tlsConfig makes the TLS settings of the listener. RFC 8996 forbids 1.0 and
// 1.1. The suites of 1.2 are those with forward secrecy and authenticated
// encryption (RFC 9325 §4.2); those of 1.3 are not a choice in Go, and good.
func tlsConfig(c config.TLS, now func() time.Time, log *slog.Logger) (*tls.Config, error) {
	certs := &certificates{certFile: c.CertFile, keyFile: c.KeyFile, now: now, log: log}
	if err := certs.load(); err != nil {
		return nil, err
	}
	out := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: certs.get,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if c.MinVersion == "1.3" {
		out.MinVersion = tls.VersionTLS13
	}
	return out, nil
}

// certificates gives the certificate in its files, and follows when they are
// replaced. A replacement that cannot be used changes nothing but the log: a
// mistake in a renewal must not end a service that works.
type certificates struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]os.FileInfo // the files as they were when last read
	next    time.Time      // do not look before
}

// load reads the files for the first time.
func (c *certificates) load() error {
	seen, err := c.stat()
	if err != nil {
		return err
	}
	cert, err := c.read()
	if err != nil {
		return err
	}
	c.current, c.seen, c.next = cert, seen, c.now().Add(checkEvery)
	return nil
}

func (c *certificates) read() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %s with %s: %w", c.certFile, c.keyFile, err)
	}
	if cert.Leaf != nil && c.now().After(cert.Leaf.NotAfter) {
		c.log.Warn("the TLS certificate has expired", "file", c.certFile, "on", cert.Leaf.NotAfter)
	}
	return &cert, nil
}

func (c *certificates) stat() ([2]os.FileInfo, error) {
	var out [2]os.FileInfo
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return out, fmt.Errorf("tls: %w", err)
		}
		out[i] = info
	}
	return out, nil
}

// get implements tls.Config.GetCertificate.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Before(c.next) {
		return c.current, nil
	}
	c.next = c.now().Add(checkEvery)
	// Looked at before it is read: a change in between is seen the next time.
	seen, err := c.stat()
	if err != nil {
		if c.seen != [2]os.FileInfo{} { // said once
			c.seen = [2]os.FileInfo{}
			c.log.Error("the TLS certificate cannot be read; the one in use stays", "error", cut(err))
		}
		return c.current, nil
	}
	if same(seen[0], c.seen[0]) && same(seen[1], c.seen[1]) {
		return c.current, nil
	}
	c.seen = seen
	cert, err := c.read()
	if err != nil {
		c.log.Error("the new TLS certificate cannot be used; the one in use stays", "error", cut(err))
		return c.current, nil
	}
	c.current = cert
	c.log.Info("a new TLS certificate is in use", "file", c.certFile, "until", cert.Leaf.NotAfter)
	return c.current, nil
}

// same says that a file is the one that was read, unchanged.
func same(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
