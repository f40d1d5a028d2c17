package quirks

import (
	"io"
	"iter"
)

// body is a Bundle that is written while it is read. Nothing is fetched before
// somebody wants it, and closing ends what is open.
type body struct {
	next func() ([]byte, error, bool)
	stop func()
	rest []byte
	err  error
}

// newBody takes the first piece at once, so that an upstream that refuses is an
// error and not half an answer.
func newBody(pieces iter.Seq2[[]byte, error]) (*body, error) {
	b := &body{}
	b.next, b.stop = iter.Pull2(pieces)
	if b.pull(); b.err != nil {
		b.stop()
		return nil, b.err
	}
	return b, nil
}

func (b *body) pull() {
	piece, err, ok := b.next()
	switch {
	case !ok:
		b.err = io.EOF
	case err != nil:
		b.err = err
	default:
		b.rest = piece
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.pull()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.stop()
	if b.err == nil {
		b.err = io.ErrClosedPipe
	}
	b.rest = nil
	return nil
}
