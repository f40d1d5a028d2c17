package gateway

import (
	"io"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// bundleWriter writes a searchset or a history around pieces, one at a time.
type bundleWriter struct {
	g    *Gateway
	x    *exchange
	next func() (piece, error, bool)
	stop func()

	members int // of the Bundle that were begun
	entries int
	matches int
}

// more appends the next part of the Bundle to out; io.EOF comes with the last.
func (w *bundleWriter) more(out []byte) ([]byte, error) {
	if w.members == 0 {
		kind := `"searchset"`
		if w.x.ask.Interaction == guard.History {
			kind = `"history"`
		}
		out = append(w.member(append(out, '{'), "resourceType"), `"Bundle"`...)
		out = append(w.member(out, "type"), kind...)
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

// member begins a member of the Bundle.
func (w *bundleWriter) member(out []byte, name string) []byte {
	if w.members > 0 {
		out = append(out, ',')
	}
	w.members++
	if w.x.pretty {
		out = append(out, "\n  "...)
	}
	out = append(out, '"')
	out = append(out, name...)
	out = append(out, `":`...)
	if w.x.pretty {
		out = append(out, ' ')
	}
	return out
}

// value appends a JSON value that stands below so many others.
func (w *bundleWriter) value(out, value []byte, below string) []byte {
	if w.x.pretty {
		value = indented(value, below)
	}
	return append(out, value...)
}

// indented lays a JSON value out for people to read; all that changes is the
// white space around its tokens.
func indented(value []byte, below string) []byte {
	v := jsontext.Value(append([]byte(nil), value...))
	if err := v.Indent(jsontext.WithIndentPrefix(below), jsontext.WithIndent("  ")); err != nil {
		return value // cannot happen: it was parsed
	}
	return v
}

func (w *bundleWriter) entry(out []byte, p piece) []byte {
	e := append([]byte(`{"fullUrl":"`), w.x.src.publicBase...)
	e = append(e, '/')
	e = append(e, p.typ...)
	e = append(e, '/')
	e = append(e, p.id...)
	e = append(e, '"')
	if !p.change.gone {
		e = append(e, `,"resource":`...)
		e = append(e, p.bytes...)
	}
	switch {
	case w.x.ask.Interaction == guard.History:
		e = p.appendChange(e)
	case p.match:
		e = append(e, `,"search":{"mode":"match"}`...)
	default:
		e = append(e, `,"search":{"mode":"include"}`...)
	}
	return w.value(w.open(out), append(e, '}'), "    ")
}

// open begins the entry array with the first entry: an empty array is not valid
// FHIR JSON.
func (w *bundleWriter) open(out []byte) []byte {
	if w.entries == 0 {
		out = append(w.member(out, "entry"), '[')
	} else {
		out = append(out, ',')
	}
	w.entries++
	if w.x.pretty {
		out = append(out, "\n    "...)
	}
	return out
}

// end writes what is known only now: warnings, total and links.
func (w *bundleWriter) end(out []byte) ([]byte, error) {
	warnings, err := w.x.warnings()
	if err != nil {
		return out, err
	}
	for _, warning := range warnings {
		e := append([]byte(`{"resource":`), warning...)
		out = w.value(w.open(out), append(e, `,"search":{"mode":"outcome"}}`...), "    ")
	}
	if w.entries > 0 && w.x.pretty {
		out = append(out, "\n  "...)
	}
	if w.entries > 0 {
		out = append(out, ']')
	}
	if err := w.count(); err != nil {
		return out, err
	}
	next, err := w.g.nextLink(w.x)
	if err != nil {
		return out, err
	}
	if total, known := w.total(next); known {
		out = strconv.AppendInt(w.member(out, "total"), int64(total), 10)
	}
	out = w.links(out, next)
	if w.x.pretty {
		out = append(out, '\n')
	}
	return append(out, '}'), nil
}

// links: the self link says which parameters were used (R4 http, "Search"). One that
// found nothing does not repeat what could name somebody, so that a search for
// somebody else gives back not even the question.
func (w *bundleWriter) links(out []byte, next string) []byte {
	var links []byte
	if w.entries > 0 || w.matches > 0 || w.x.namesNobody() {
		links = appendLink(links, "self", w.x.link(w.x.canonical()))
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
	links = append(append([]byte{'['}, links...), ']')
	return w.value(w.member(out, "link"), links, "  ")
}

// total is our own count of what was released, and leaves only when that is the
// whole: one page, the first and the last, or all of it was counted because the
// app asked for that. The upstream's total counts what it likes
// (docs/pitfalls.md 8).
func (w *bundleWriter) total(next string) (int, bool) {
	switch {
	case w.x.counting():
		return w.matches, true
	case w.x.ask.Query.Total == "none":
		return 0, false
	case w.x.total >= 0:
		return w.x.total, true
	}
	return w.matches, next == "" && w.x.resume == nil
}

// count counts all that would be released, when the app asks for an accurate
// total and the answer does not hold it all. It costs the upstream every page
// once more.
func (w *bundleWriter) count() error {
	x := w.x
	if x.ask.Query.Total != "accurate" || x.total >= 0 || x.counting() || x.resume != nil || len(x.next) == 0 || x.several {
		return nil
	}
	ask := x.ask
	ask.Query.Summary, ask.Query.Sort = "count", nil
	sub := x.sub(ask)
	sub.depth = x.depth // not a proof: it follows pages because it only counts
	if err := w.g.narrow(sub); err != nil {
		return err
	}
	total := 0
	for one, err := range w.g.check(sub, w.g.fetch(sub)) {
		if fault.KindOf(err) == fault.Unsupported {
			return nil // more pages than are counted: no total is better than a wrong one
		}
		if err != nil {
			return err
		}
		if one.match {
			total++
		}
	}
	x.total = total
	return nil
}

func appendLink(out []byte, relation, url string) []byte {
	out = append(out, `{"relation":"`...)
	out = append(out, relation...)
	out = append(out, `","url":`...)
	return append(appendQuoted(out, url), '}')
}

// appendChange writes how a version came to be: request and response as this
// server would have had them, not as the upstream words them.
func (p *piece) appendChange(out []byte) []byte {
	place := p.typ + "/" + p.id
	method, status := http.MethodPut, http.StatusOK
	switch {
	case p.change.gone:
		method, status = http.MethodDelete, http.StatusNoContent
	case p.change.method == http.MethodPost:
		method, place, status = http.MethodPost, p.typ, http.StatusCreated
	}
	out = append(out, `,"request":{"method":"`+method+`","url":"`+place+`"},"response":{"status":"`...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, ' ')
	out = append(out, http.StatusText(status)...)
	out = append(out, '"')
	if etag := p.etag(); etag != "" {
		out = appendQuoted(append(out, `,"etag":`...), etag)
	}
	if _, err := p.modified(); err == nil {
		out = appendQuoted(append(out, `,"lastModified":`...), p.updated)
	}
	return append(out, '}')
}
