package authz

import (
	"time"

	"github.com/portico-fhir/portico/smart/scope"
)

// valueLongest is the choice of no earlier end than there is anyway.
const valueLongest = "longest"

// terms are the ends that people may choose, where they are earlier than the
// one there is anyway.
var terms = []struct {
	value string
	lasts time.Duration
}{
	{"1-day", 24 * time.Hour},
	{"30-days", 30 * 24 * time.Hour},
	{"3-months", 92 * 24 * time.Hour},
	{"1-year", 365 * 24 * time.Hour},
}

// ends lists when access may end. Access that ends with its first token is so
// short that there is nothing to choose.
func (l lifetimes) ends(now time.Time, scopes scope.Set) []EndView {
	latest := l.grantEnd(now, scopes, time.Time{})
	var out []EndView
	for _, t := range terms {
		if at := now.Add(t.lasts); at.Before(latest) {
			out = append(out, EndView{Value: t.value, At: at})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return append(out, EndView{Value: valueLongest, At: l.shownEnd(now, scopes)})
}

// chosenEnd reads the person's choice; zero: none earlier than there is anyway.
func (l lifetimes) chosenEnd(now time.Time, fields []field, scopes scope.Set) (time.Time, error) {
	values := all(fields, "until")
	if len(values) == 0 || len(values) == 1 && values[0] == valueLongest {
		return time.Time{}, nil
	}
	for _, end := range l.ends(now, scopes) {
		if len(values) == 1 && end.Value == values[0] {
			return end.At, nil
		}
	}
	return time.Time{}, forged()
}
