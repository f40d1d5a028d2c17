package search

import (
	"errors"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

var errNoClock = errors.New("needs the present time to be compared")

func (m Matcher) dateTest(v string) (test, error) {
	p, rest := cutPrefix(v)
	want, err := parseDate(rest)
	if err != nil {
		return nil, err
	}
	var now time.Time
	if p == ap {
		if m.Now == nil {
			return nil, errNoClock
		}
		now = m.Now()
	}
	return func(v value) (bool, error) {
		t, ok, err := spanOf(v)
		return ok && err == nil && t.compare(p, want, now), err
	}, nil
}

// spanOf gives the time an element covers; ok is false when it holds none.
func spanOf(v value) (t span, ok bool, err error) {
	switch v.typ.name {
	case "date", "dateTime", "instant":
		t, err = nodeDate(v.node)
		return t, err == nil, err
	case "Period":
		return period(v.node)
	case "Timing":
		return timing(v.node)
	}
	return span{}, false, nil // Age, Range, string: choices that hold no date
}

// nodeDate reads a date that is there. A JSON number is none, though 2020 would
// read like one.
func nodeDate(n fhir.Node) (span, error) {
	if !n.IsString() {
		return span{}, errDate
	}
	return parseDate(n.Text())
}

// period goes from the first instant of start to the last of end; a missing one
// is open (R4 search, 3.1.1.4.7).
func period(n fhir.Node) (t span, ok bool, err error) {
	start, end := n.Get("start"), n.Get("end")
	t.openFrom, t.openTo = !start.Exists(), !end.Exists()
	if t.openFrom && t.openTo {
		return span{}, false, nil
	}
	if !t.openFrom {
		s, err := nodeDate(start)
		if err != nil {
			return span{}, false, err
		}
		t.from = s.from
	}
	if !t.openTo {
		s, err := nodeDate(end)
		if err != nil {
			return span{}, false, err
		}
		t.to = s.to
	}
	return t, true, nil
}

// timing covers its outer limits; what happens in between does not matter.
func timing(n fhir.Node) (t span, ok bool, err error) {
	for event := range n.Get("event").Items() {
		if isNull(event) {
			continue
		}
		s, err := nodeDate(event)
		if err != nil {
			return span{}, false, err
		}
		if ok {
			s = t.union(s)
		}
		t, ok = s, true
	}
	bounds, bounded, err := period(n.Get("repeat").Get("boundsPeriod"))
	switch {
	case err != nil:
		return span{}, false, err
	case ok && bounded:
		return t.union(bounds), true, nil
	case bounded:
		return bounds, true, nil
	}
	return t, ok, nil
}

// union reaches from the first instant of both to the last. t has no open end.
func (t span) union(s span) span {
	if s.before(t) {
		t.from, t.openFrom = s.from, s.openFrom
	}
	if s.beyond(t) {
		t.to, t.openTo = s.to, s.openTo
	}
	return t
}
