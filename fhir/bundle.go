package fhir

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// BundleReader reads a Bundle from a stream entry by entry: memory is bounded
// by the largest entry, not by the Bundle. What stands beside the entries is
// known when Next has given io.EOF, since JSON members come in any order.
type BundleReader struct {
	dec      *jsontext.Decoder
	meter    *Meter
	maxEntry int
	seen     map[string]bool
	inEntry  bool
	done     bool

	resourceType string
	typ          string
	next         string
	total        int
}

// Entry is one Bundle.entry. Resource is nil when the entry holds none or one
// that must not be trusted; Err then says why, without content.
type Entry struct {
	FullURL  string
	Mode     string // search.mode: match, include, outcome or ""
	Resource *Resource
	Err      error
	Change   Change // of an entry of a history
}

// Change is what an entry of a history says of how its version came to be, in
// the words of whoever wrote the Bundle: Bundle.entry.request and response.
type Change struct {
	Method, URL                string
	Status, ETag, LastModified string
	// Gone says that the version is a deletion: there is no resource, and the
	// request was a DELETE or the response says 410.
	Gone bool
}

// NewBundleReader reads from r. An entry of more than maxEntry bytes is an
// error that ends the reading.
func NewBundleReader(r io.Reader, maxEntry int) *BundleReader {
	// Inside entries duplicates and bad UTF-8 are looked for entry by entry, so
	// that one bad resource is withheld and does not take the others with it.
	metered := NewMeter(r)
	dec := jsontext.NewDecoder(metered, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return &BundleReader{dec: dec, meter: metered, maxEntry: maxEntry, seen: map[string]bool{}, total: -1}
}

// Meter bounds what is read for one value of a stream, so that one over the limit
// is an error before all of it is in memory.
type Meter struct {
	r    io.Reader
	left int
}

// NewMeter reads from r; nothing before Allow.
func NewMeter(r io.Reader) *Meter { return &Meter{r: r} }

// Allow lets so many bytes more be read, whatever was left.
func (m *Meter) Allow(bytes int) { m.left = bytes }

// Read implements io.Reader.
func (m *Meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errors.New("fhir: more than one value may have")
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// betweenEntries is how much may stand around a value: white space, names.
const betweenEntries = 64 << 10

// Type gives Bundle.type; final after io.EOF.
func (b *BundleReader) Type() string { return b.typ }

// NextLink gives the URL of the link with relation next, "" when there is none;
// final after io.EOF.
func (b *BundleReader) NextLink() string { return b.next }

// Total gives Bundle.total, -1 when there is none; final after io.EOF.
func (b *BundleReader) Total() int { return b.total }

// Next gives the next entry, io.EOF after the whole Bundle was read and was
// well formed, and any other error when it is not to be trusted. Errors hold no
// content.
func (b *BundleReader) Next() (Entry, error) {
	if b.done {
		return Entry{}, io.EOF
	}
	b.meter.Allow(b.maxEntry + betweenEntries)
	if !b.inEntry && len(b.seen) == 0 {
		if err := b.open('{'); err != nil {
			return Entry{}, err
		}
		b.seen["{"] = true // a mark that the object is open; no FHIR member is called so
	}
	for {
		if b.inEntry {
			if b.dec.PeekKind() != ']' {
				return b.entry()
			}
			if _, err := b.dec.ReadToken(); err != nil {
				return Entry{}, scrubStream(err)
			}
			b.inEntry = false
		}
		if b.dec.PeekKind() == '}' {
			return Entry{}, b.close()
		}
		if err := b.member(); err != nil {
			return Entry{}, err
		}
		b.meter.Allow(b.maxEntry + betweenEntries)
	}
}

func (b *BundleReader) open(kind jsontext.Kind) error {
	if k := b.dec.PeekKind(); k != kind {
		if _, err := b.dec.ReadToken(); err != nil {
			return scrubStream(err)
		}
		return errors.New("fhir: the answer is no Bundle")
	}
	_, err := b.dec.ReadToken()
	return scrubStream(err)
}

func (b *BundleReader) close() error {
	if _, err := b.dec.ReadToken(); err != nil {
		return scrubStream(err)
	}
	if _, err := b.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("fhir: data after the Bundle")
	}
	if b.resourceType != "Bundle" {
		return errors.New("fhir: the answer is no Bundle")
	}
	b.done = true
	return io.EOF
}

// member reads one member of the Bundle up to, but not into, its entries.
func (b *BundleReader) member() error {
	token, err := b.dec.ReadToken()
	if err != nil {
		return scrubStream(err)
	}
	name := token.String()
	if b.seen[name] {
		return errors.New("fhir: the Bundle has a member twice")
	}
	b.seen[name] = true
	if name == "entry" {
		if err := b.open('['); err != nil {
			return err
		}
		b.inEntry = true
		return nil
	}
	raw, err := b.dec.ReadValue()
	if err != nil {
		return scrubStream(err)
	}
	if len(raw) > b.maxEntry {
		return errors.New("fhir: a member of the Bundle is over the limit")
	}
	value, err := ParseNode(append([]byte(nil), raw...))
	if err != nil {
		return err
	}
	return b.note(name, value)
}

func (b *BundleReader) note(name string, value Node) error {
	switch name {
	case "resourceType":
		b.resourceType = value.Text()
		if b.resourceType != "Bundle" {
			return errors.New("fhir: the answer is no Bundle")
		}
	case "type":
		b.typ = value.Text()
	case "total":
		total, err := strconv.Atoi(value.Text())
		if err != nil || total < 0 {
			return errors.New("fhir: Bundle.total is not a count")
		}
		b.total = total
	case "link":
		for link := range value.Items() {
			if link.Get("relation").Text() == "next" {
				b.next = link.Get("url").Text()
			}
		}
	}
	return nil
}

func (b *BundleReader) entry() (Entry, error) {
	raw, err := b.dec.ReadValue()
	if err != nil {
		return Entry{}, scrubStream(err)
	}
	if len(raw) > b.maxEntry {
		return Entry{}, fmt.Errorf("fhir: an entry of %d bytes is over the limit", len(raw))
	}
	// The decoder's buffer is overwritten by the next read.
	return parseEntry(append([]byte(nil), raw...)), nil
}

func parseEntry(raw []byte) Entry {
	root, err := ParseNode(raw)
	if err != nil {
		return Entry{Err: err}
	}
	e := Entry{FullURL: root.Get("fullUrl").Text(), Mode: root.Get("search").Get("mode").Text()}
	e.Resource, e.Err = resourceAt(root.Get("resource"))
	e.Change = changeOf(root)
	return e
}

func changeOf(entry Node) Change {
	request, response := entry.Get("request"), entry.Get("response")
	c := Change{
		Method: request.Get("method").Text(), URL: request.Get("url").Text(),
		Status: response.Get("status").Text(), ETag: response.Get("etag").Text(), LastModified: response.Get("lastModified").Text(),
	}
	c.Gone = !entry.Get("resource").Exists() && (c.Method == "DELETE" || strings.HasPrefix(c.Status, "410"))
	return c
}

// scrubStream keeps read errors (the caller tells a time-out from a broken
// connection by them) and strips syntax errors of their text.
func scrubStream(err error) error {
	if err == nil {
		return nil
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return fmt.Errorf("fhir: not valid JSON at byte %d", syntactic.ByteOffset)
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("fhir: reading the Bundle: %w", err)
}
