package fhirserver

import (
	"context"
	"errors"
	"io"
	"time"
)

// body is an answer's body with limits: in bytes, and in how long the upstream
// may send nothing while it is read. It ends with an error, not with io.EOF,
// when a limit is passed: a body cut short must not look complete.
type body struct {
	r     io.ReadCloser
	left  int64
	wait  time.Duration
	stall *time.Timer // ends the request while a read waits
	end   context.CancelFunc
}

func newBody(r io.ReadCloser, limit int64, wait time.Duration, end context.CancelFunc) *body {
	b := &body{r: r, left: limit, wait: wait, end: end, stall: time.AfterFunc(wait, end)}
	b.stall.Stop()
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("fhirserver: the answer is over the limit")
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	b.stall.Reset(b.wait)
	n, err := b.r.Read(p)
	b.stall.Stop()
	b.left -= int64(n)
	return n, err
}

func (b *body) Close() error {
	b.stall.Stop()
	err := b.r.Close()
	b.end()
	return err
}
