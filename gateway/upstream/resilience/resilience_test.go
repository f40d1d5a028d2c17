package resilience_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ehr is an upstream over real TCP that does as told, and a client to it.
type ehr struct {
	t      *testing.T
	asked  atomic.Int64
	url    string
	ways   *resilience.Transport
	client *http.Client
}

func begin(t *testing.T, o resilience.Options, h http.HandlerFunc) *ehr {
	t.Helper()
	e := &ehr{t: t}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		h(w, r)
	}))
	next := &http.Transport{ResponseHeaderTimeout: 2 * time.Second}
	if o.Next == nil {
		o.Next = next
	}
	ways, err := resilience.New(o)
	if err != nil {
		t.Fatal(err)
	}
	e.url, e.ways, e.client = srv.URL, ways, &http.Client{Transport: ways}
	t.Cleanup(func() { next.CloseIdleConnections(); srv.Close() })
	return e
}

// get gives the status and the whole body.
func (e *ehr) get(method string) (int, string, error) {
	e.t.Helper()
	return e.getFor("", method)
}

// getFor is the same for a party.
func (e *ehr) getFor(party, method string) (int, string, error) {
	e.t.Helper()
	var body io.Reader
	if method != http.MethodGet && method != http.MethodHead {
		body = strings.NewReader("{}")
	}
	req, err := http.NewRequestWithContext(reqctx.WithParty(e.t.Context(), party), method, e.url, body)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Party", party) // for the handler of the test
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

// until polls for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func says(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "stack trace of the EHR")
	}
}

var quick = resilience.Options{Retries: 2, RetryAfter: time.Millisecond, Breaker: resilience.Breaker{Off: true}, Wait: 100 * time.Millisecond}

func TestOnlyReadsAreRepeatedAndOnlyForWhatMayPass(t *testing.T) {
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		method string
		asked  int64
	}{
		"a write that the EHR hung up on":    {hangUp, http.MethodPost, 1},
		"a replacement that met a 503":       {says(503), http.MethodPut, 1},
		"a deletion that met a 502":          {says(502), http.MethodDelete, 1},
		"a patch that met a short 429":       {says(429, "Retry-After", "0"), http.MethodPatch, 1},
		"hung up":                            {hangUp, http.MethodGet, 3},
		"HEAD hung up":                       {hangUp, http.MethodHead, 3},
		"502":                                {says(502), http.MethodGet, 3},
		"503":                                {says(503), http.MethodGet, 3},
		"504":                                {says(504), http.MethodGet, 3},
		"503 that asks for long":             {says(503, "Retry-After", "60"), http.MethodGet, 1},
		"429 without a word of when":         {says(429), http.MethodGet, 1},
		"429 that asks for long":             {says(429, "Retry-After", "60"), http.MethodGet, 1},
		"a crash, which may be our question": {says(500), http.MethodGet, 1},
		"not implemented":                    {says(501), http.MethodGet, 1},
		"not ours":                           {says(401), http.MethodGet, 1},
		"missing":                            {says(404), http.MethodGet, 1},
		"well":                               {says(200), http.MethodGet, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := begin(t, quick, tt.serve)
			_, _, err := e.get(tt.method)
			if got := e.asked.Load(); got != tt.asked {
				t.Errorf("asked %d times, want %d (%v)", got, tt.asked, err)
			}
			if n := e.ways.State().InFlight; n != 0 {
				t.Errorf("%d places are still taken", n)
			}
		})
	}
}

func TestAReadThatSucceedsTheSecondTimeIsWhole(t *testing.T) {
	var n atomic.Int64
	e := begin(t, quick, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			hangUp(w, r)
		case 2:
			says(503)(w, r)
		default:
			says(200)(w, r)
		}
	})
	if status, body, err := e.get(http.MethodGet); status != 200 || body != "stack trace of the EHR" || err != nil {
		t.Errorf("%d %q %v", status, body, err)
	}
}

func TestABodyThatHasBegunIsNeverAskedForAgain(t *testing.T) {
	e := begin(t, quick, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if _, body, err := e.get(http.MethodGet); err == nil || body != "half" || e.asked.Load() != 1 {
		t.Errorf("%q, %v, asked %d times", body, err, e.asked.Load())
	}
	if s := e.ways.State(); s.LastError != "body" {
		t.Errorf("%+v", s)
	}
}

func TestAnEHRThatDoesNotAnswerInTimeIsNotAskedAgain(t *testing.T) {
	stop := make(chan struct{})
	o := quick
	o.Next = &http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond, DisableKeepAlives: true}
	e := begin(t, o, func(http.ResponseWriter, *http.Request) { <-stop })
	_, _, err := e.get(http.MethodGet)
	close(stop)
	var late net.Error
	if !errors.As(err, &late) || !late.Timeout() || e.asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, e.asked.Load())
	}
	if s := e.ways.State(); s.LastError != "timeout" {
		t.Errorf("%+v", s)
	}
}

// openBreaker gives an EHR that fails until well is set, and has failed enough.
func openBreaker(t *testing.T) (*ehr, *atomic.Bool) {
	t.Helper()
	well := &atomic.Bool{}
	e := begin(t, resilience.Options{Breaker: resilience.Breaker{Requests: 4, Open: 50 * time.Millisecond}}, func(w http.ResponseWriter, r *http.Request) {
		if well.Load() {
			says(200)(w, r)
			return
		}
		says(500)(w, r)
	})
	for range 4 {
		_, _, _ = e.get(http.MethodGet)
	}
	return e, well
}

func TestAnEHRThatFailsIsLeftAloneAndTriedAgain(t *testing.T) {
	e, well := openBreaker(t)
	asked := e.asked.Load()
	_, _, err := e.get(http.MethodGet)
	if fault.KindOf(err) != fault.Unavailable || fault.RetryAfterOf(err) < time.Second || e.asked.Load() != asked {
		t.Fatalf("%v, asked %d times more", err, e.asked.Load()-asked)
	}
	if s := e.ways.State(); s.Breaker != "open" || s.LastError != "status 500" || s.Failures != 4 || s.Requests != 4 {
		t.Errorf("%+v", s)
	}
	until(t, "a probe that fails again", func() bool { _, _, err := e.get(http.MethodGet); return err == nil })
	if s := e.ways.State(); s.Breaker != "open" {
		t.Errorf("a failed probe left it %s", s.Breaker)
	}
	well.Store(true)
	until(t, "closed again", func() bool { _, _, _ = e.get(http.MethodGet); return e.ways.State().Breaker == "closed" })
	if s := e.ways.State(); s.LastSuccess.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestProbesWhoseCallersGoAwayDoNotKeepItShut(t *testing.T) {
	e, well := openBreaker(t)
	until(t, "half open", func() bool { return e.ways.State().OpenFor == 0 })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		req, err := http.NewRequestWithContext(gone, http.MethodGet, e.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := e.ways.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	well.Store(true)
	until(t, "closed", func() bool { _, _, _ = e.get(http.MethodGet); return e.ways.State().Breaker == "closed" })
}

func TestAnswersThatAreNoFailuresNeverOpenTheBreaker(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 409, 410, 412, 422, 429, 501} {
		e := begin(t, resilience.Options{Breaker: resilience.Breaker{Requests: 2}}, says(status))
		for range 6 {
			if got, _, err := e.get(http.MethodGet); got != status || err != nil {
				t.Fatalf("%d: %d, %v", status, got, err)
			}
		}
		if s := e.ways.State(); s.Breaker != "closed" || s.Failures != 0 {
			t.Errorf("%d: %+v", status, s)
		}
	}
}

func TestWhatFailsOnOurSideIsNotHeldAgainstTheEHR(t *testing.T) {
	e := begin(t, resilience.Options{Retries: 3, RetryAfter: time.Millisecond, Breaker: resilience.Breaker{Requests: 2}, Next: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, fault.New(fault.Unavailable, "no token")
	})}, says(200))
	for range 5 {
		if _, _, err := e.get(http.MethodGet); fault.PublicOf(err) != "no token" {
			t.Fatal(err)
		}
	}
	if s := e.ways.State(); s.Breaker != "closed" || s.Failures != 0 || s.LastError != "" {
		t.Errorf("%+v", s)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestASlowAnswerIsHedgedOnceAndTheLoserLetsGo(t *testing.T) {
	var n atomic.Int64
	stop := make(chan struct{})
	e := begin(t, resilience.Options{Hedge: 10 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			select {
			case <-stop:
			case <-r.Context().Done():
			}
			return
		}
		says(200)(w, r)
	})
	status, body, err := e.get(http.MethodGet)
	close(stop)
	if status != 200 || body == "" || err != nil || e.asked.Load() != 2 {
		t.Errorf("%d %q %v, asked %d times", status, body, err, e.asked.Load())
	}
	until(t, "both places free", func() bool { return e.ways.State().InFlight == 0 })
}

func TestAnAnswerThatDripsForeverEnds(t *testing.T) {
	e := begin(t, resilience.Options{Total: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, "."); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	if _, _, err := e.get(http.MethodGet); err == nil {
		t.Error("an endless answer looked complete")
	}
	until(t, "the place free", func() bool { return e.ways.State().InFlight == 0 })
}

func TestABodyThatStallsCountsAndOneThatNobodyWantsDoesNot(t *testing.T) {
	for name, tt := range map[string]struct {
		overdue bool
		want    string
	}{"stalls": {true, "body"}, "not wanted": {false, ""}} {
		t.Run(name, func(t *testing.T) {
			c := &clock{t: time.Now()}
			e := begin(t, resilience.Options{Now: c.now, Patience: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			ctx, giveUp := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := e.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			half := make([]byte, 4)
			if _, err := io.ReadFull(resp.Body, half); err != nil {
				t.Fatal(err)
			}
			ended, before := make(chan struct{}), c.looks()
			go func() { defer close(ended); _, _ = resp.Body.Read(half) }()
			until(t, "reading", func() bool { return c.looks() > before })
			if tt.overdue {
				c.pass(time.Minute)
			}
			giveUp()
			<-ended
			if s := e.ways.State(); s.LastError != tt.want {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, o := range map[string]resilience.Options{
		"nothing to ask":    {},
		"negative retries":  {Next: http.DefaultTransport, Retries: -1},
		"negative places":   {Next: http.DefaultTransport, Concurrent: -1},
		"negative share":    {Next: http.DefaultTransport, PerParty: -1},
		"share above one":   {Next: http.DefaultTransport, Breaker: resilience.Breaker{Rate: 2}},
		"negative requests": {Next: http.DefaultTransport, Breaker: resilience.Breaker{Requests: -1}},
	} {
		if _, err := resilience.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
