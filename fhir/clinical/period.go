package clinical

import (
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// Period is a stretch of time, made ready for asking of resources of some types.
type Period struct {
	by map[string][]dated // by type
}

// Between makes the period from start to end, FHIR dates or times of which either
// may be "", for resources of the types that are given. An error means that one
// of the two is no date.
func Between(types []string, start, end string, m search.Matcher) (Period, error) {
	p := Period{by: map[string][]dated{}}
	if _, err := within("Observation", "date", start, end, m); err != nil { // when no type is dated
		return p, err
	}
	for _, typ := range types {
		for _, name := range Dates(typ) {
			one, err := within(typ, name, start, end, m)
			if err != nil {
				return p, err
			}
			p.by[typ] = append(p.by[typ], one)
		}
	}
	return p, nil
}

// Holds says whether a resource tells of care in the period. What has no date is
// held: nobody can tell that it is not meant.
func (p Period) Holds(r *fhir.Resource) bool {
	for _, one := range p.by[r.Type()] {
		for range one.by.Values(r) {
			return one.holds(r)
		}
	}
	return true
}

// dated is a stretch of time to which a parameter is held: of each pair the
// first must match, or the second must not. ge alone leaves out what ends on the
// very day that begins the stretch (R4 search, 3.1.1.4.5).
type dated struct {
	by    search.Definition
	pairs [][2]*search.Filter
}

func (d dated) holds(r *fhir.Resource) bool {
	for _, pair := range d.pairs {
		within, err := pair[0].Match(r)
		outside, failed := pair[1].Match(r)
		if err != nil || failed != nil || !within && outside {
			return false
		}
	}
	return true
}

func within(typ, name, start, end string, m search.Matcher) (dated, error) {
	var out dated
	for _, bound := range []struct{ within, outside, value string }{{"ge", "eb", start}, {"le", "sa", end}} {
		if bound.value == "" {
			continue
		}
		var pair [2]*search.Filter
		for i, prefix := range []string{bound.within, bound.outside} {
			q, err := search.Parse(typ, []search.Pair{{Name: name, Value: prefix + bound.value}}, search.Options{Strict: true})
			if err != nil {
				return out, fmt.Errorf("clinical: a bound: %w", err)
			}
			if len(q.Params) != 1 || len(q.Params[0].Values) != 1 {
				return out, errors.New("clinical: a bound is no single value")
			}
			out.by = q.Params[0].Definition
			if pair[i], err = m.Compile(q); err != nil {
				return out, fmt.Errorf("clinical: a bound: %w", err)
			}
		}
		out.pairs = append(out.pairs, pair)
	}
	return out, nil
}

// When gives the time of care by the first of the parameters that a resource has
// a value for, the latest if there are several; the zero time when there is none.
func When(r *fhir.Resource, names ...string) time.Time {
	for _, name := range names {
		d, known := search.Lookup(r.Type(), name)
		if !known {
			continue
		}
		var latest time.Time
		for v := range d.Values(r) {
			v.Descend(func(n fhir.Node) {
				if at := timeOf(n.Text()); at.After(latest) {
					latest = at
				}
			})
		}
		if !latest.IsZero() {
			return latest
		}
	}
	return time.Time{}
}

func timeOf(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02", "2006-01", "2006"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	return time.Time{}
}
