package fhirserver

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

// expire makes what is cached too old to count.
func (c *capabilityCache) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
}

func metadataFrom(t *testing.T, h http.HandlerFunc) *Server {
	t.Helper()
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	base, err := fhir.ParseBase(up.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func sayR4(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/fhir+json")
	_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
}

func TestAStatementOutlivesAnOutage(t *testing.T) {
	down, asked := false, 0
	s := metadataFrom(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		sayR4(w)
	})
	if _, err := s.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	down = true
	s.known.expire()
	for range 3 {
		if c, err := s.Capabilities(t.Context()); err != nil || c.FHIRVersion != "4.0.1" {
			t.Fatalf("%v, %v", c, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want once more in an outage", asked)
	}
}

func TestASlowStatementHoldsUpNobodyWhoHasOne(t *testing.T) {
	slow := make(chan struct{})
	first := true
	s := metadataFrom(t, func(w http.ResponseWriter, _ *http.Request) {
		if !first {
			<-slow
		}
		first = false
		sayR4(w)
	})
	if _, err := s.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.known.expire()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Capabilities(t.Context())
	}()
	for s.known.turn.TryLock() { // until the other asks
		s.known.turn.Unlock()
		time.Sleep(time.Millisecond)
	}
	begun := time.Now()
	if c, err := s.Capabilities(t.Context()); err != nil || c.FHIRVersion != "4.0.1" {
		t.Errorf("%v, %v", c, err)
	}
	if time.Since(begun) > time.Second {
		t.Error("waited for another's question")
	}
	close(slow)
	<-done
}
