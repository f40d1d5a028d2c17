package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/idp"
	"github.com/portico-fhir/portico/internal/demo/records"
)

// partRecords are the same in every process.
func partRecords(load func([]byte) error) (*records.Cast, error) {
	return records.Generate(records.Options{Seed: 7, Patients: 8, Now: time.Date(2031, 3, 4, 0, 0, 0, 0, time.UTC)}, load)
}

// TestPart is the EHR or the provider when a test starts it as a process of its
// own; alone it does nothing.
func TestPart(t *testing.T) {
	var h http.Handler
	switch os.Getenv(partEnv) {
	case "":
		return
	case "ehr":
		hospital := ehr.New(ehr.Options{})
		if _, err := partRecords(hospital.Load); err != nil {
			t.Fatal(err)
		}
		h = newSick(hospital)
	case "idp":
		cast, err := partRecords(func([]byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		var people []idp.Person
		for _, p := range cast.People {
			people = append(people, idp.Person(p))
		}
		h, err = idp.New(idp.Options{
			Issuer: "http://127.0.0.1:" + os.Getenv(partPort), Name: "Provider", People: people,
			Clients: []idp.Client{{ID: "portico", Secret: partSecret, RedirectURIs: []string{os.Getenv(partCallback)}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv(partPort), Handler: h, ReadHeaderTimeout: time.Minute}
	t.Fatal(server.ListenAndServe())
}

// process is a program that a test starts, ends and starts again.
type process struct {
	t    *testing.T
	make func() *exec.Cmd
	port int
	at   string // path that answers 200 when it is ready
	log  lockedBuffer
	cmd  *exec.Cmd
}

func (p *process) url() string { return fmt.Sprintf("http://127.0.0.1:%d", p.port) }

// start returns when the process answers.
func (p *process) start() {
	p.t.Helper()
	p.launch()
	p.ready()
}

func (p *process) launch() {
	p.t.Helper()
	p.cmd = p.make()
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) ready() {
	p.t.Helper()
	eventually(p.t, p.url()+p.at, func() error {
		resp, err := http.Get(p.url() + p.at)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.log.String())
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d\n%s", resp.StatusCode, p.log.String())
		}
		return nil
	})
}

// end sends a signal and gives how the process ended.
func (p *process) end(signal os.Signal) error {
	p.t.Helper()
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	err := p.cmd.Wait()
	p.cmd = nil
	return err
}

func eventually(t *testing.T, what string, ask func() error) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		err := ask()
		if err == nil {
			return time.Since(begun)
		}
		if time.Since(begun) > replicaKnow {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// sick is an EHR that can be made to fail in ways of its own.
type sick struct {
	next http.Handler
	mode atomic.Pointer[string]
}

func newSick(next http.Handler) *sick {
	s := &sick{next: next}
	s.mode.Store(new(string))
	return s
}

func (s *sick) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/be" {
		mode := r.URL.Query().Get("mode")
		s.mode.Store(&mode)
		return
	}
	mode := *s.mode.Load()
	if mode == "" {
		s.next.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	s.next.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	switch mode {
	case "hanging":
		<-r.Context().Done()
	case "500":
		w.WriteHeader(http.StatusInternalServerError)
	case "429":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case "HTML":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html><body>Please sign in</body></html>"))
	case "truncated JSON":
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body[:len(body)/2])
	case "wrong Content-Length":
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+100))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	case "slow drip":
		w.WriteHeader(answer.Code)
		for i := range body {
			if _, err := w.Write(body[i : i+1]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// be makes the EHR fail, or well again.
func (c *cluster) be(mode string) {
	c.t.Helper()
	status, body := fetch(c.t, c.ehr.url()+"/be?mode="+url.QueryEscape(mode), "")
	if status != http.StatusOK {
		c.t.Fatalf("%d %s", status, body)
	}
}
