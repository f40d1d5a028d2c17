package cache

import (
	"context"
	"errors"
	"io"
)

// flightBody reads the buffer of a flight as it fills.
type flightBody struct {
	f      *flight
	ctx    context.Context //nolint:containedctx // of the reader, who is somebody else than the flight
	at     int
	failed error
	closed bool
}

// Read implements io.Reader.
func (b *flightBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("cache: read after close")
	}
	f := b.f
	if err := f.wait(b.ctx, func() bool { return len(f.buf) > b.at || f.state != flying }); err != nil {
		b.failed = err
		return 0, err
	}
	f.mu.Lock()
	n := copy(p, f.buf[b.at:])
	state, rest, failed := f.state, f.rest, f.err
	f.mu.Unlock()
	b.at += n
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	switch state {
	case large:
		f.mu.Lock()
		f.buf, b.at = nil, 0 // it has been read
		f.mu.Unlock()
		return rest.Read(p)
	case broken:
		b.failed = failed
		return 0, failed
	default:
		return 0, io.EOF
	}
}

// Close implements io.Closer.
func (b *flightBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.failed == nil && b.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(b.ctx, closeWait)
		_ = b.f.wait(ctx, func() bool { return b.f.state != flying })
		cancel()
	}
	b.f.leave(errors.Join(b.failed, b.ctx.Err()))
	return nil
}
