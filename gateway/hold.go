package gateway

import (
	"errors"
	"io"
	"iter"
)

// held is an answer whose beginning, or whole, is in memory.
type held struct {
	head  []byte
	whole bool
	read  *piece // the resource, when a read was asked

	rest *bundleWriter // what follows head when not whole
}

// holdBack pulls the answer until it is complete or larger than what is held.
// Until then an error is an error; nothing has left.
func (g *Gateway) holdBack(x *exchange, answer iter.Seq2[piece, error]) (*held, error) {
	next, stop := iter.Pull2(answer)
	if x.single() {
		defer stop()
		return holdRead(x, next)
	}
	w := &bundleWriter{g: g, x: x, next: next, stop: stop}
	h := &held{rest: w}
	for len(h.head) < g.hold {
		var err error
		h.head, err = w.more(h.head)
		if errors.Is(err, io.EOF) {
			stop()
			h.whole = true
			return h, x.existed()
		}
		if err != nil {
			stop()
			return nil, err
		}
	}
	return h, nil
}

// holdRead wants exactly one resource. None at all, a foreign one and one that
// was withheld are the same to the app.
func holdRead(x *exchange, next func() (piece, error, bool)) (*held, error) {
	p, err, ok := next()
	if err != nil {
		return nil, err
	}
	if !ok {
		x.denyCache()
		return nil, x.suppressed()
	}
	if x.pretty {
		p.bytes = indented(p.bytes, "")
	}
	return &held{head: p.bytes, whole: true, read: &p}, nil
}

// close ends the pulling of what was not pulled.
func (h *held) close() {
	if h.rest != nil {
		h.rest.stop()
	}
}
