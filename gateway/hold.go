package gateway

import (
	"errors"
	"io"
	"iter"
	"strconv"

	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
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
	if x.ask.Interaction == guard.Read {
		defer stop()
		return holdRead(next)
	}
	w := &bundleWriter{g: g, x: x, next: next, stop: stop}
	h := &held{rest: w}
	for len(h.head) < g.hold {
		var err error
		h.head, err = w.more(h.head)
		if errors.Is(err, io.EOF) {
			stop()
			h.whole = true
			return h, nil
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
func holdRead(next func() (piece, error, bool)) (*held, error) {
	p, err, ok := next()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	return &held{head: p.bytes, whole: true, read: &p}, nil
}

// bundleWriter writes a searchset around pieces, one at a time.
type bundleWriter struct {
	g    *Gateway
	x    *exchange
	next func() (piece, error, bool)
	stop func()

	begun   bool
	entries int
	matches int
}

// more appends the next part of the Bundle to out; io.EOF comes with the last.
func (w *bundleWriter) more(out []byte) ([]byte, error) {
	if !w.begun {
		w.begun = true
		out = append(out, `{"resourceType":"Bundle","type":"searchset"`...)
	}
	p, err, ok := w.next()
	switch {
	case err != nil:
		return out, err
	case !ok:
		out, err = w.end(out)
		if err != nil {
			return out, err
		}
		return out, io.EOF
	}
	if p.match {
		w.matches++
	}
	if w.x.counting() {
		return out, nil
	}
	return w.entry(out, p), nil
}

func (w *bundleWriter) entry(out []byte, p piece) []byte {
	mode := "include"
	if p.match {
		mode = "match"
	}
	out = w.open(out)
	out = append(out, `{"fullUrl":"`...)
	out = append(out, w.x.src.publicBase...)
	out = append(out, '/')
	out = append(out, p.typ...)
	out = append(out, '/')
	out = append(out, p.id...)
	out = append(out, `","resource":`...)
	out = append(out, p.bytes...)
	out = append(out, `,"search":{"mode":"`...)
	out = append(out, mode...)
	return append(out, `"}}`...)
}

// open begins the entry array with the first entry: an empty array is not valid
// FHIR JSON.
func (w *bundleWriter) open(out []byte) []byte {
	w.entries++
	if w.entries == 1 {
		return append(out, `,"entry":[`...)
	}
	return append(out, ',')
}

// end writes what is known only now: warnings, total and links.
func (w *bundleWriter) end(out []byte) ([]byte, error) {
	if len(w.x.ignored) > 0 {
		warning, err := ignoredOutcome(w.x.ignored)
		if err != nil {
			return out, err
		}
		out = w.open(out)
		out = append(out, `{"resource":`...)
		out = append(out, warning...)
		out = append(out, `,"search":{"mode":"outcome"}}`...)
	}
	if w.entries > 0 {
		out = append(out, ']')
	}
	next, err := w.g.nextLink(w.x)
	if err != nil {
		return out, err
	}
	if total, known := w.total(next); known {
		out = append(out, `,"total":`...)
		out = strconv.AppendInt(out, int64(total), 10)
	}
	return append(w.links(out, next), '}'), nil
}

// links: an answer without entries has no self link. It repeats nothing of what
// was asked, so that a search for somebody else gives back not even the question.
func (w *bundleWriter) links(out []byte, next string) []byte {
	var links []byte
	if w.entries > 0 {
		links = appendLink(links, "self", w.selfLink())
	}
	if next != "" {
		if links != nil {
			links = append(links, ',')
		}
		links = appendLink(links, "next", next)
	}
	if links == nil {
		return out
	}
	out = append(out, `,"link":[`...)
	out = append(out, links...)
	return append(out, ']')
}

// total is our own count of what was released, and leaves only when that is the
// whole: one page, the first and the last. The upstream's total counts
// what it likes (docs/pitfalls.md 8).
func (w *bundleWriter) total(next string) (int, bool) {
	if w.x.counting() {
		return w.matches, true
	}
	return w.matches, next == "" && w.x.resume == nil && w.x.ask.Query.Total != "none"
}

func (w *bundleWriter) selfLink() string {
	if w.x.everything {
		return w.x.src.publicBase + "/Patient/" + w.x.who.Patient + "/$everything"
	}
	link := w.x.src.publicBase + "/" + w.x.ask.Type
	if q := w.x.ask.Query.Encode(); q != "" {
		link += "?" + q
	}
	return link
}

func appendLink(out []byte, relation, url string) []byte {
	out = append(out, `{"relation":"`...)
	out = append(out, relation...)
	out = append(out, `","url":`...)
	return append(appendQuoted(out, url), '}')
}

// close ends the pulling of what was not pulled.
func (h *held) close() {
	if h.rest != nil {
		h.rest.stop()
	}
}
