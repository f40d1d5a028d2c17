package resilience

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/fetch"
)

// State is how a source does, without anything about anybody.
type State struct {
	Breaker     string        // closed, open, half-open or off; open as well when all who asked lately are kept away
	OpenFor     time.Duration // until it is tried again
	Requests    uint          // that the breaker has in mind
	Failures    uint          // of them
	PausedFor   time.Duration // the EHR asked for it
	InFlight    int           // answers that are being waited for or read
	LastError   string        // a word such as connect, timeout, status 503, body; "" when there was none
	LastErrorAt time.Time
	LastSuccess time.Time
	Latency     time.Duration // to the headers of an answer, a moving average
}

// State tells how the source does now.
func (t *Transport) State() State {
	s := t.health.snapshot()
	r := t.parties.read()
	s.Breaker, s.OpenFor, s.Requests, s.Failures = r.word, r.openFor, r.requests, r.failures
	if left, _ := t.pause.left(t.o.Now()); left > 0 {
		s.PausedFor = left
	}
	return s
}

// health is what State tells of the past.
type health struct {
	mu sync.Mutex
	s  State
}

func (h *health) snapshot() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.s
}

// enter counts a request until what it gives is called, once.
func (h *health) enter(leave func()) (release func()) {
	h.mu.Lock()
	h.s.InFlight++
	h.mu.Unlock()
	return sync.OnceFunc(func() {
		h.mu.Lock()
		h.s.InFlight--
		h.mu.Unlock()
		leave()
	})
}

func (h *health) good(at time.Time, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.s.Latency == 0 {
		h.s.Latency = took
	}
	h.s.Latency += (took - h.s.Latency) / 8
	h.s.LastSuccess = at
}

func (h *health) bad(at time.Time, word string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.s.LastError, h.s.LastErrorAt = word, at
}

// pass is the right to ask once. release gives the place back and may be called
// more than once.
type pass struct {
	permit
	release func()
}

// answered notes an answer's status.
func (t *Transport) answered(p *pass, resp *http.Response, took time.Duration) {
	now := t.o.Now()
	if asked := min(fetch.RetryAfter(resp.Header, now), maxPause); asked > 0 {
		switch resp.StatusCode {
		case http.StatusTooManyRequests:
			t.pause.begin(now.Add(asked), fault.TooMany)
		case http.StatusServiceUnavailable:
			t.pause.begin(now.Add(asked), fault.Unavailable)
		}
	}
	if resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusNotImplemented {
		t.health.bad(now, "status "+strconv.Itoa(resp.StatusCode))
		t.parties.failed(p.permit)
		return
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		t.health.bad(now, "status 429")
	} else {
		t.health.good(now, took)
	}
	t.parties.answered(p.permit)
}

// failed notes that no answer came.
func (t *Transport) failed(ctx context.Context, p *pass, err error, took time.Duration) {
	var ours *fault.Error
	switch {
	case errors.As(err, &ours), errors.Is(err, ErrLocal):
		t.parties.forget(p.permit)
		return
	case ctx.Err() != nil && took < t.o.Patience/2:
		// The caller went away. Whether an answer would have come is not known,
		// unless it was overdue.
		t.parties.forget(p.permit)
		return
	}
	why := word(err)
	t.health.bad(t.o.Now(), why)
	switch why {
	case "connect", "tls":
		t.parties.unreachable(p.permit)
	default:
		t.parties.failed(p.permit)
	}
}

// word names an error; its text could hold an address or a URL.
func word(err error) string {
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var op *net.OpError
	var late net.Error
	switch {
	case errors.As(err, &cert), errors.As(err, &alert):
		return "tls"
	case errors.As(err, &op) && op.Op == "dial":
		return "connect"
	case errors.As(err, &late) && late.Timeout():
		return "timeout"
	}
	return "connection lost"
}

// hold gives the answer's body, which keeps its place until it is closed or the
// request has ended.
func (t *Transport) hold(ctx context.Context, p *pass, body io.ReadCloser) io.ReadCloser {
	stop := context.AfterFunc(ctx, p.release)
	return &heldBody{ReadCloser: body, t: t, of: p.of, ctx: ctx, done: func() { stop(); p.release() }}
}

// heldBody is an answer's body. One that breaks off counts as a failure, and so
// does one that its reader gave up because nothing more came.
type heldBody struct {
	io.ReadCloser
	t    *Transport
	of   *party
	ctx  context.Context
	done func()
	once sync.Once
}

// Read implements io.Reader.
func (b *heldBody) Read(p []byte) (int, error) {
	begun := b.t.o.Now()
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && (b.ctx.Err() == nil || b.t.o.Now().Sub(begun) >= b.t.o.Patience/2) {
		b.once.Do(func() {
			b.t.health.bad(b.t.o.Now(), "body")
			b.t.parties.failed(permit{of: b.of})
		})
	}
	return n, err //nolint:wrapcheck // an io.Reader passes errors on as they are
}

// Close implements io.Closer.
func (b *heldBody) Close() error {
	err := b.ReadCloser.Close()
	b.done()
	return err //nolint:wrapcheck // an io.Closer passes errors on as they are
}

// endBody ends the context of a whole answer with it.
type endBody struct {
	io.ReadCloser
	end context.CancelFunc
}

// Close implements io.Closer.
func (b *endBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err //nolint:wrapcheck // an io.Closer passes errors on as they are
}

// discard reads a little of a body that nobody wants, so that the connection can
// be used again, and leaves an empty one.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	resp.Body, resp.ContentLength = http.NoBody, 0
}
