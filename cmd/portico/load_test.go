package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patientReader is somebody who reads the own record and tries another's.
type patientReader struct {
	tokens
	foreign string            // another patient's id
	want    map[string]string // by path below the base; "" for what must be 404
}

// figures are what a load saw.
type figures struct {
	Requests  int64   // finished, one way or the other
	Good      int64   // right answers
	Refused   int64   // errors that say so: 429 and 5xx with an OperationOutcome
	Closed    int64   // nobody listens, as a balancer would notice at once
	Lost      int64   // taken and not answered, or cut off
	Wrong     int64   // anything else; must be 0
	RecoverMS float64 // from the end of the fault to right answers for everybody; -1: not measured
}

// load asks without a pause until it is stopped.
type load struct {
	stopping atomic.Bool
	workers  sync.WaitGroup

	mu      sync.Mutex
	f       figures
	wrong   []string
	ids     []string // request ids of right answers that arrived whole
	cut     int64    // answers that began and did not end
	refused map[int]int64
}

const (
	loadWorkers = 6
	loadTimeout = 10 * time.Second
)

// expect learns the right answers from the EHR itself.
func (c *cluster) expect(t *testing.T, k tokens, foreign string) *patientReader {
	t.Helper()
	r := &patientReader{tokens: k, foreign: foreign, want: map[string]string{"/Patient/" + foreign: ""}}
	status, body := fetch(t, c.ehr.url()+"/fhir/Patient/"+k.Patient, "")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	r.want["/Patient/"+k.Patient] = body
	for _, query := range []string{"/Observation?category=laboratory&_count=10", "/Condition?_count=10", "/Observation?category=vital-signs&_count=5"} {
		_, body := fetch(t, c.ehr.url()+"/fhir"+query+"&patient="+k.Patient, "")
		want := resourcesOf([]byte(body))
		if want == "" || want == "[]" {
			t.Fatalf("nothing to find by %s", query)
		}
		r.want[query] = want
	}
	return r
}

// resourcesOf gives the resources of a Bundle as they stand there; "" for what
// is none.
func resourcesOf(body []byte) string {
	var p page
	if json.Unmarshal(body, &p) != nil || p.Type != "Bundle" {
		return ""
	}
	var all []json.RawMessage
	for _, e := range p.Entry {
		if e.Search.Mode != "outcome" {
			all = append(all, e.Resource)
		}
	}
	return fmt.Sprintf("%s", all)
}

// startLoad asks at the given bases in turn.
func startLoad(who []*patientReader, bases ...string) *load {
	return startLoadAt(&load{refused: map[int]int64{}}, who, bases...)
}

func startLoadAt(l *load, who []*patientReader, bases ...string) *load {
	transport := &http.Transport{MaxIdleConnsPerHost: loadWorkers}
	client := &http.Client{Transport: transport, Timeout: loadTimeout}
	for worker := range loadWorkers {
		l.workers.Go(func() {
			defer transport.CloseIdleConnections()
			for n := worker; !l.stopping.Load(); n++ {
				r := who[n%len(who)]
				paths := make([]string, 0, len(r.want))
				for path := range r.want {
					paths = append(paths, path)
				}
				slices.Sort(paths)
				path := paths[(n/len(who))%len(paths)]
				l.ask(client, bases[(n/7)%len(bases)]+path, r, r.want[path])
			}
		})
	}
	return l
}

// ask makes one request and judges the answer.
func (l *load) ask(client *http.Client, target string, r *patientReader, want string) {
	req, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Access)
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		l.note(func() { l.f.Closed++ })
		time.Sleep(5 * time.Millisecond) // the load is bounded
		return
	case err != nil:
		l.note(func() { l.f.Lost++ })
		return
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		l.note(func() { l.f.Lost++; l.cut++ })
		return
	}
	verdict := judge(resp.StatusCode, body, r, want)
	l.note(func() {
		switch verdict {
		case "good":
			l.ids = append(l.ids, resp.Header.Get("X-Request-Id"))
			l.f.Good++
		case "refused":
			l.f.Refused++
			l.refused[resp.StatusCode]++
		default:
			l.f.Wrong++
			l.wrong = append(l.wrong, fmt.Sprintf("%s: %d, %s", target[strings.Index(target, "/fhir/"):], resp.StatusCode, verdict))
		}
	})
}

// judge says what an answer is.
func judge(status int, body []byte, r *patientReader, want string) string {
	var outcome struct{ ResourceType string }
	isOutcome := json.Unmarshal(body, &outcome) == nil && outcome.ResourceType == "OperationOutcome"
	switch {
	case bytes.Contains(body, []byte(`"`+r.foreign+`"`)) || bytes.Contains(body, []byte("Patient/"+r.foreign+`"`)):
		return "another patient's id is in it"
	case (status == http.StatusTooManyRequests || status >= 500) && isOutcome:
		return "refused"
	case want == "" && status == http.StatusNotFound && isOutcome:
		return "good"
	case want != "" && status == http.StatusOK && (string(body) == want || resourcesOf(body) == want):
		return "good"
	default:
		return fmt.Sprintf("not what it should be (%d bytes)", len(body))
	}
}

func (l *load) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.f.Requests = l.f.Good + l.f.Refused + l.f.Closed + l.f.Lost + l.f.Wrong
}

func (l *load) now() figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f
}

// more waits until so many more requests have finished.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	from := l.now().Requests
	eventually(t, "requests", func() error {
		if done := l.now().Requests - from; done < n {
			return fmt.Errorf("%d of %d requests", done, n)
		}
		return nil
	})
}

// stop ends the load, writes its figures down, and fails the test for a wrong
// answer.
func (l *load) stop(t *testing.T, fault string, recovered time.Duration) figures {
	t.Helper()
	l.stopping.Store(true)
	l.workers.Wait()
	f := l.now()
	f.RecoverMS = float64(recovered.Microseconds()) / 1000
	t.Logf("%s: %d requests, %d good, %d refused %v, %d found nobody, %d lost (%d cut off), %d wrong, right again after %v",
		fault, f.Requests, f.Good, f.Refused, l.refused, f.Closed, f.Lost, l.cut, f.Wrong, recovered)
	for i, w := range l.wrong {
		if i < 5 {
			t.Errorf("wrong: %s", w)
		}
	}
	if f.Wrong > 0 {
		t.Errorf("%d wrong answers", f.Wrong)
	}
	writeFigures(t, fault, f)
	return f
}

// recovered is how long it takes until everybody gets everything at each base.
func (c *cluster) recovered(t *testing.T, who []*patientReader, bases ...string) time.Duration {
	t.Helper()
	client := &http.Client{Timeout: loadTimeout}
	defer client.CloseIdleConnections()
	return eventually(t, "to be right again", func() error {
		for _, base := range bases {
			for _, r := range who {
				for path, want := range r.want {
					l := &load{refused: map[int]int64{}}
					l.ask(client, base+path, r, want)
					if l.f.Wrong > 0 {
						t.Fatalf("wrong: %s", l.wrong)
					}
					if l.f.Good != 1 {
						return fmt.Errorf("%s: %+v %v", path, l.f, l.refused)
					}
				}
			}
		}
		return nil
	})
}

var figuresLock sync.Mutex

// writeFigures adds a line to faults.json among the artefacts.
func writeFigures(t *testing.T, fault string, f figures) {
	t.Helper()
	dir := os.Getenv("ARTIFACTS")
	if dir == "" {
		return
	}
	figuresLock.Lock()
	defer figuresLock.Unlock()
	path := filepath.Join(dir, "faults.json")
	all := map[string]figures{}
	if text, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(text, &all) // a broken one is written anew
	}
	all[fault] = f
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		t.Errorf("the figures: %v", err)
	}
}

// answered gives the request ids of right answers.
func (l *load) answered() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids
}
