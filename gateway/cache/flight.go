package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// A flight is one fetch for everybody of one party who wants the same at the same
// time; what one party is refused must not be refused to another. It belongs to none
// of them: it goes on while anybody waits, and a goroutine of its own reads what
// comes into a buffer that all read from. Who began it gets the
// bytes as they come; who joined gets them when they are whole. An answer over
// the limit stops filling the buffer; its rest is for the one who began, and the
// others ask for themselves.
type flight struct {
	c      *Cache
	j      *job
	at     time.Time // when it was asked
	cancel context.CancelFunc

	mu      sync.Mutex
	changed chan struct{} // closed at each change
	state   flightState
	meta    *upstream.Answer // headers, once there
	buf     []byte
	rest    io.ReadCloser // of an answer that is too large
	err     error
	entry   *entry
	users   int
	notify  []func(*entry)
}

// course is what one flight is for.
type course struct {
	name  name
	party string // of reqctx.Party
}

type flightState uint8

const (
	flying flightState = iota
	landed             // the whole answer is in the buffer
	large              // the buffer is full, there is more
	broken             // err says why
)

var errTooLarge = errors.New("cache: the answer is too large to be shared")

func isTooLarge(err error) bool { return errors.Is(err, errTooLarge) }

const (
	firstBuffer = 16 << 10
	// closeWait is what closing waits for the end of an answer of which the
	// reader has seen all that matters, so that it can be kept.
	closeWait = 100 * time.Millisecond
	// afterWait is how long a fetch that nobody waits for any more may go on.
	afterWait = 2 * time.Second
)

const unusable = "The record system gave an unusable answer."

// join takes part in the flight of a job, or begins it. alone begins one that
// nobody else joins: its answer must have been asked for after the request came.
func (c *Cache) join(ctx context.Context, j *job, alone bool) (f *flight, joined bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, flying := c.flights[j.course()]; flying && !alone {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.users > 0 { // nobody's flight is about to end
			f.users++
			return f, true
		}
	}
	within, cancel := context.WithCancel(reqctx.WithParty(context.WithoutCancel(ctx), j.v.party))
	f = &flight{c: c, j: j, at: c.o.Now(), cancel: cancel, changed: make(chan struct{}), users: 1}
	if !alone {
		c.flights[j.course()] = f
	}
	c.work.Go(func() { f.fly(within, alone) })
	return f, false
}

// fly fetches and reads to the end.
func (f *flight) fly(ctx context.Context, alone bool) {
	defer f.land()
	release := func() {}
	if f.c.shared != nil && !alone && !f.j.v.hold {
		var held bool
		if release, held = f.c.shared.lock(ctx, f.j.name); !held {
			if e := f.c.shared.wait(ctx, f.j.name, later(f.at.Add(-f.j.ttl), f.j.newer)); e != nil && f.j.v.age(e) < f.j.ttl {
				f.c.count(f.j, "redis", saidShared)
				f.c.keep(f.j, e)
				f.have(e)
				return
			}
		}
	}
	defer func() { release() }()
	f.set(func() { f.at = f.c.o.Now() })
	answer, err := f.j.fetch(ctx)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound && !f.j.v.hold {
			f.c.gone(ctx, f.j)
		}
		f.set(func() { f.state, f.err = broken, err })
		return
	}
	f.set(func() { f.meta = answer })
	e, err := f.pump(answer)
	switch {
	case errors.Is(err, errTooLarge):
		return
	case err != nil:
		f.set(func() { f.state, f.err = broken, fault.Wrap(err, fault.Upstream, unusable) })
		return
	}
	if e == nil { // complete, but nothing to keep
		f.set(func() { f.state = landed })
		return
	}
	kept := !f.j.v.hold && f.c.keep(f.j, e)
	f.have(e)
	if kept {
		f.c.share(ctx, f.j, e)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// have makes an entry the flight's answer.
func (f *flight) have(e *entry) {
	var tell []func(*entry)
	f.set(func() {
		f.state, f.entry, f.buf, f.at = landed, e, e.body, e.fetched
		f.meta = &upstream.Answer{ETag: e.etag, LastModified: e.modified}
		tell, f.notify = f.notify, nil
		for _, t := range tell {
			t(e)
		}
	})
}

// pump reads an answer into the buffer. The entry is nil when the answer is
// complete but not one to keep.
func (f *flight) pump(answer *upstream.Answer) (*entry, error) {
	body := answer.Body
	buf := make([]byte, 0, firstBuffer)
	for {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), 2*cap(buf))
			copy(grown, buf)
			buf = grown
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		f.set(func() { f.buf = buf })
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(err, body.Close())
		}
		if int64(len(buf)) > f.c.o.MaxBody {
			return nil, f.overflow(body)
		}
	}
	_ = body.Close()
	if !whole(buf, f.j.q.want) {
		return nil, nil
	}
	// A copy of its own size: the buffer's room is not what is counted.
	return &entry{body: bytes.Clone(buf)[:len(buf):len(buf)], etag: answer.ETag, modified: answer.LastModified, fetched: f.at}, nil
}

func (f *flight) overflow(body io.ReadCloser) error {
	f.set(func() { f.state, f.rest = large, body })
	return errTooLarge
}

// land ends the flight; whoever comes now begins another.
func (f *flight) land() {
	f.c.mu.Lock()
	if f.c.flights[f.j.course()] == f {
		delete(f.c.flights, f.j.course())
	}
	f.c.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == large && f.users > 0 {
		return // the reader of the rest ends it
	}
	if f.rest != nil {
		_ = f.rest.Close()
	}
	f.cancel()
}

func (f *flight) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait waits until ready says so; with the lock held it looks at the flight.
func (f *flight) wait(ctx context.Context, ready func() bool) error {
	for {
		f.mu.Lock()
		done, changed := ready(), f.changed
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.Wrap(errors.New("cache: the client went away"), fault.Unavailable, "The request was given up.")
		case <-changed:
		}
	}
}

// answer gives what comes, when it begins to come or when all of it is there;
// those who joined always get all. After an error the flight is left; otherwise
// closing the body leaves it.
func (f *flight) answer(ctx context.Context, all, joined bool) (*upstream.Answer, error) {
	all = all || joined
	err := f.wait(ctx, func() bool { return f.state != flying || !all && f.meta != nil })
	if err != nil {
		f.leave(err)
		return nil, err
	}
	f.mu.Lock()
	state, failed, meta := f.state, f.err, f.meta
	f.mu.Unlock()
	switch {
	case state == broken && (all || meta == nil):
		f.leave(nil)
		return nil, failed
	case state == large && joined:
		f.leave(nil)
		return nil, errTooLarge
	}
	return &upstream.Answer{Body: &flightBody{f: f, ctx: ctx}, ETag: meta.ETag, LastModified: meta.LastModified}, nil
}

// leave ends somebody's part. When nobody is left, a flight that was given up is
// cut; one whose reader was content goes on a little, to be kept.
func (f *flight) leave(gaveUp error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users--
	switch {
	case f.users > 0:
	case f.state == large:
		if f.rest != nil {
			_ = f.rest.Close()
		}
		f.cancel()
	case f.state != flying:
	case gaveUp != nil:
		f.cancel()
	default:
		time.AfterFunc(afterWait, f.cancel)
	}
}

// drain waits for the end without wanting the bytes.
func (f *flight) drain(ctx context.Context) {
	f.leave(f.wait(ctx, func() bool { return f.state != flying }))
}

func (f *flight) fetched() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// whenWhole calls then, now or later, once there is an entry.
func (f *flight) whenWhole(then func(*entry)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entry != nil {
		then(f.entry)
		return
	}
	f.notify = append(f.notify, then)
}

// Waiting says how many wait for a fetch now.
func (c *Cache) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, f := range c.flights {
		f.mu.Lock()
		n += f.users
		f.mu.Unlock()
	}
	return n
}
