package quirks

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxSorted     = 5000     // matches that are put in order
	maxSortedSize = 64 << 20 // bytes of those that one search keeps
)

// ranking puts matches in order (R4 search, section 3.1.1.5.1) and keeps the first
// of them. What has no value comes last; what has the same stays as it came.
type ranking struct {
	typ   string
	by    []search.SortKey
	keep  int
	lease *lease

	seen int // matches there were
	size int // bytes of rows
	rows []row
}

type row struct {
	entry fhir.Entry
	keys  []sortKey
}

// add takes one more match.
func (k *ranking) add(e fhir.Entry) error {
	n := len(e.Resource.Bytes())
	k.seen++
	k.size += n
	if k.seen <= maxSorted && k.size > maxSortedSize {
		k.cut()
	}
	if k.seen > maxSorted || k.size > maxSortedSize {
		return &fault.Error{
			Kind: fault.Unsupported, Err: upstream.ErrCostly,
			Public: "There are too many results to be put in order; narrow the search, or leave out _sort.",
		}
	}
	if err := k.lease.take(n); err != nil {
		return err
	}
	k.rows = append(k.rows, row{e, keysOf(e.Resource, k.typ, k.by)})
	if len(k.rows) >= 2*k.keep {
		k.cut()
	}
	return nil
}

// cut sorts, and drops what is not kept.
func (k *ranking) cut() {
	slices.SortStableFunc(k.rows, func(a, b row) int {
		for i, by := range k.by {
			if c := a.keys[i].compare(b.keys[i], by.Descending); c != 0 {
				return c
			}
		}
		return 0
	})
	for len(k.rows) > k.keep {
		n := len(k.rows[len(k.rows)-1].entry.Resource.Bytes())
		k.rows[len(k.rows)-1] = row{}
		k.rows = k.rows[:len(k.rows)-1]
		k.size -= n
		k.lease.give(n)
	}
}

func (k *ranking) entries() []fhir.Entry {
	k.cut()
	out := make([]fhir.Entry, len(k.rows))
	for i, r := range k.rows {
		out[i] = r.entry
	}
	return out
}

// sortKey is one value of a resource by which it is put in order.
type sortKey struct {
	there  bool
	number float64 // of numbers and moments
	text   string
}

func (k sortKey) compare(o sortKey, descending bool) int {
	switch {
	case !k.there || !o.there:
		return cmp.Compare(btoi(o.there), btoi(k.there))
	case descending:
		k, o = o, k
	}
	return cmp.Or(cmp.Compare(k.number, o.number), strings.Compare(k.text, o.text))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// keysOf gives the smallest value of each sort parameter, the largest when the
// order descends.
func keysOf(r *fhir.Resource, typ string, by []search.SortKey) []sortKey {
	keys := make([]sortKey, len(by))
	for i, k := range by {
		d, known := search.Lookup(typ, k.Name)
		if !known {
			continue
		}
		for v := range d.Values(r) {
			if one := keyOf(d.Kind, v, k.Descending); one.there && (!keys[i].there || one.compare(keys[i], k.Descending) < 0) {
				keys[i] = one
			}
		}
	}
	return keys
}

func keyOf(kind search.Kind, v fhir.Node, last bool) sortKey {
	text := func(names ...string) sortKey {
		if v.IsString() || !v.IsObject() {
			return sortKey{there: v.Text() != "", text: strings.ToLower(v.Text())}
		}
		for _, name := range names {
			for n := range v.Get(name).Items() {
				if n.IsObject() {
					n = n.Get("code")
				}
				if n.Text() != "" {
					return sortKey{there: true, text: strings.ToLower(n.Text())}
				}
			}
		}
		return sortKey{}
	}
	switch kind {
	case search.Date:
		if v.IsObject() {
			first, second := v.Get("start"), v.Get("end")
			if last && second.Exists() {
				first = second
			} else if !first.Exists() {
				first = second
			}
			v = first
		}
		at, ok := moment(v.Text())
		return sortKey{there: ok, number: float64(at.UnixMilli())}
	case search.Number, search.Quantity:
		if v.IsObject() {
			v = v.Get("value")
		}
		n, err := strconv.ParseFloat(v.Text(), 64)
		return sortKey{there: err == nil, number: n}
	case search.Reference:
		return text("reference")
	case search.Token:
		return text("coding", "code", "value", "text")
	default:
		return text("family", "text", "city", "given", "value")
	}
}

func moment(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
