package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowdLoad is everybody of a crowd asking at once, at every replica.
type crowdLoad struct {
	load
	d       *deployment
	client  *http.Client
	hits    atomic.Int64 // answers that were kept as they left, or made of what was kept
	refuses atomic.Int64 // tokens that were refused after they had been revoked
}

// crowd starts workers that ask without a pause.
func (d *deployment) crowd(t *testing.T, workers int) *crowdLoad {
	t.Helper()
	l := &crowdLoad{d: d, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers + 1}, Timeout: loadTimeout}}
	l.refused = map[int]int64{}
	t.Cleanup(func() { // also of a test that has failed
		l.stopping.Store(true)
		l.workers.Wait()
		l.client.CloseIdleConnections()
	})
	asked := make([][]question, len(d.members))
	for i, m := range d.members {
		asked[i] = m.questions()
	}
	for worker := range workers {
		r := rand.New(rand.NewPCG(uint64(worker), 7))
		l.workers.Go(func() {
			for !l.stopping.Load() {
				i := r.IntN(len(d.members))
				l.one(d.members[i], asked[i][r.IntN(len(asked[i]))], r.IntN(len(d.each)))
			}
		})
	}
	return l
}

// one asks one question at one replica and judges what comes.
func (l *crowdLoad) one(m *member, q question, replica int) {
	c, pages := m.now.Load(), m.ward.diaries[m.patient]
	over, known := c.revoked.Load(), pages.known.Load()
	status, header, body, err := l.d.get(l.client, replica, m, q.path, c.Access)
	begun := pages.begun.Load()
	ended := c.revoking.Load()
	verdict := ""
	switch {
	case err != nil:
	case over || ended && status == http.StatusUnauthorized:
		if status != http.StatusUnauthorized {
			verdict = fmt.Sprintf("%d for a token that is revoked", status)
		}
		l.refuses.Add(1)
	default:
		verdict = m.judge(q, status, body, known, begun)
	}
	if strings.Contains(header.Get("Cache-Status"), "; hit") {
		l.hits.Add(1)
	}
	l.note(func() {
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			l.f.Closed++
		case err != nil:
			l.f.Lost++
		case status == http.StatusTooManyRequests || status >= 500:
			l.f.Refused++
			l.refused[status]++
		case verdict != "":
			l.f.Wrong++
			l.wrong = append(l.wrong, fmt.Sprintf("replica %d, %s, %s, %s with %s: %s: %s (%s)",
				replica, m.ward.name, m.patient, m.app, m.scopes, q.path, verdict, header.Get("Cache-Status")))
		default:
			l.f.Good++
			if status == http.StatusOK {
				l.ids = append(l.ids, header.Get("X-Request-Id"))
			}
		}
	})
}

func (d *deployment) get(client *http.Client, replica int, m *member, path, access string) (int, http.Header, []byte, error) {
	req, err := http.NewRequest(http.MethodGet, d.each[replica].url()+"/fhir/"+m.ward.name+path, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+access)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header, body, err
}

// change writes the next page of a diary: through Portico, as the app of the
// first member does, or at the EHR, which then tells one replica.
func (l *crowdLoad) change(t *testing.T, w *ward, patient string, replica int, through bool) {
	t.Helper()
	pages := w.diaries[patient]
	n := pages.begun.Add(1)
	body, path := w.observation(patient, "diary", "survey", n), "/Observation/"+patient+"-diary"
	if through {
		writer := l.d.writers[w.name+patient]
		status, header, was, err := l.d.get(l.client, replica, writer, path, writer.now.Load().Access)
		if err != nil || status != http.StatusOK {
			t.Fatalf("read before a change: %d %s %v", status, was, err)
		}
		status, said := ask(t, http.MethodPut, l.d.each[replica].url()+"/fhir/"+w.name+path, writer.now.Load().Access, body,
			"Content-Type", "application/fhir+json", "If-Match", header.Get("ETag"))
		if status != http.StatusOK {
			t.Fatalf("change: %d %s", status, said)
		}
	} else {
		w.ask(t, http.MethodPut, path, body)
		status, said := ask(t, http.MethodPost, l.d.each[replica].url()+"/notify/"+w.name, crowdNotify, body, "Content-Type", "application/fhir+json")
		if l.d.cached && status != http.StatusOK {
			t.Fatalf("notify: %d %s", status, said)
		}
	}
	pages.known.Store(n)
}

// revoke ends a token at one replica while it is used, looks that it is over at
// all of them at once, and gets another by the refresh token. With all it is the
// refresh token that is revoked, and nothing comes after it.
func (l *crowdLoad) revoke(t *testing.T, m *member, replica int, all bool) {
	t.Helper()
	c := m.now.Load()
	for i := range l.d.each { // so that what it asks for is kept everywhere
		l.one(m, m.questions()[0], i)
	}
	ended := c.Access
	if all {
		ended = c.Refresh
	}
	c.revoking.Store(true)
	if got := l.d.post(t, replica, "/oauth/revoke", url.Values{"client_id": {m.app}, "token": {ended}}); got.Status != http.StatusOK {
		t.Fatalf("revoke: %+v", got)
	}
	c.revoked.Store(true)
	for i := range l.d.each {
		l.one(m, m.questions()[0], i)
	}
	next := l.d.post(t, (replica+1)%len(l.d.each), "/oauth/token",
		url.Values{"grant_type": {"refresh_token"}, "client_id": {m.app}, "refresh_token": {c.Refresh}})
	switch {
	case all && next.Error != "invalid_grant":
		t.Errorf("refreshed what was revoked: %+v", next)
	case !all && next.Status != http.StatusOK:
		t.Fatalf("refresh: %+v", next)
	case !all:
		l.more(t, 20) // the old one goes on being tried
		m.now.Store(&credential{tokens: next})
	}
}

// run is the whole of it: rounds of changes and revocations while everybody reads.
func (l *crowdLoad) run(t *testing.T, rounds int, until time.Time) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 5))
	for round := 0; round < rounds || time.Now().Before(until); round++ {
		w := l.d.wards[r.IntN(len(l.d.wards))]
		p, replica := l.d.patients[r.IntN(len(l.d.patients))], r.IntN(len(l.d.each))
		l.more(t, 25)
		l.change(t, w, p, replica, round%2 == 0)
		switch m := l.d.members[r.IntN(len(l.d.members))]; {
		case m.now.Load().revoked.Load(): // it has been ended for good
		case round%5 == 1:
			l.revoke(t, m, replica, false)
		case round == 12:
			l.revoke(t, m, replica, true)
		}
	}
}
