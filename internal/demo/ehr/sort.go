package ehr

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// sortKey is what one key of _sort sees in a resource.
type sortKey struct {
	present bool
	number  float64 // numbers, quantities and points in time
	text    string  // everything else
}

func (k sortKey) compare(o sortKey) int {
	return cmp.Or(cmp.Compare(k.number, o.number), strings.Compare(k.text, o.text))
}

// order sorts rows; equal ones keep the order of arrival, and resources without
// a value come last whichever way the sort goes.
func order(rows []row, by []search.SortKey) {
	if len(by) == 0 {
		return
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		for i, key := range by {
			x, y := a.keys[i], b.keys[i]
			switch {
			case x.present != y.present && x.present:
				return -1
			case x.present != y.present:
				return 1
			}
			if c := x.compare(y); c != 0 && key.Descending {
				return -c
			} else if c != 0 {
				return c
			}
		}
		return 0
	})
}

// sortKeys reads the keys of a resource. Of several values the lowest counts
// going up and the highest going down (R4 search, section 3.1.1.5.1).
func sortKeys(q search.Query, res *fhir.Resource) []sortKey {
	keys := make([]sortKey, len(q.Sort))
	for i, by := range q.Sort {
		d, ok := search.Lookup(q.Type, by.Name)
		if !ok {
			continue
		}
		for value := range d.Values(res) {
			for _, k := range keysFrom(d.Kind, value) {
				better := k.compare(keys[i])
				if !keys[i].present || by.Descending && better > 0 || !by.Descending && better < 0 {
					keys[i] = k
				}
			}
		}
	}
	return keys
}

func keysFrom(kind search.Kind, value fhir.Node) []sortKey {
	switch kind {
	case search.Date:
		return moments(value)
	case search.Number, search.Quantity:
		if value.IsObject() {
			value = value.Get("value")
		}
		n, err := strconv.ParseFloat(value.Text(), 64)
		return []sortKey{{err == nil, n, ""}}
	case search.Reference:
		if value.IsObject() {
			value = value.Get("reference")
		}
	case search.Token:
		return texts(value, "code", "value")
	case search.String:
		return texts(value, "text", "family", "given", "line", "city", "state", "postalCode", "country")
	}
	text := strings.ToLower(value.Text())
	return []sortKey{{text != "", 0, text}}
}

// texts gives the key of a plain value, or of an object the joined members of
// these names, in the order named here, wherever they stand.
func texts(value fhir.Node, names ...string) []sortKey {
	if !value.IsObject() {
		text := strings.ToLower(value.Text())
		return []sortKey{{text != "", 0, text}}
	}
	var parts []string
	for _, name := range names {
		value.Descend(func(n fhir.Node) {
			if n.Name() != name {
				return
			}
			for item := range n.Items() {
				if item.IsString() {
					parts = append(parts, strings.ToLower(item.Text()))
				}
			}
		})
	}
	return []sortKey{{len(parts) > 0, 0, strings.Join(parts, " ")}}
}

// moments gives the points in time of a date, dateTime, instant, Period or
// Timing: each string below the value that reads as one.
func moments(value fhir.Node) []sortKey {
	var keys []sortKey
	value.Descend(func(n fhir.Node) {
		if !n.IsString() {
			return
		}
		text := n.Text()
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", time.DateOnly, "2006-01", "2006"} {
			if at, err := time.Parse(layout, text); err == nil {
				keys = append(keys, sortKey{true, float64(at.UnixMilli()), ""})
				return
			}
		}
	})
	return keys
}
