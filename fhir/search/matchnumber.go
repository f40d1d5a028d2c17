package search

import (
	"errors"

	"github.com/portico-fhir/portico/fhir"
)

func numberTest(v string) (test, error) {
	p, rest := cutPrefix(v)
	want, err := parseDecimal(unescape(rest))
	if err != nil {
		return nil, err
	}
	return func(v value) (bool, error) {
		t, _, ok, err := intervalOf(v.node, v.typ.name)
		return ok && err == nil && t.compare(p, want), err
	}, nil
}

var errQuantity = errors.New("is not a number, or number|system|code")

// quantityTest reads [prefix][number]|[system]|[code] (R4 search, 3.1.1.4.12).
// Units are compared, not converted: 1 g is not found by 1000 mg.
func quantityTest(v string) (test, error) {
	parts := split(v, '|')
	if len(parts) != 1 && len(parts) != 3 {
		return nil, errQuantity
	}
	p, number := cutPrefix(parts[0])
	want, err := parseDecimal(unescape(number))
	if err != nil {
		return nil, err
	}
	var system, code string
	if len(parts) == 3 {
		system, code = unescape(parts[1]), unescape(parts[2])
		if code == "" && system != "" {
			return nil, errQuantity
		}
	}
	return func(v value) (bool, error) {
		t, units, ok, err := intervalOf(v.node, v.typ.name)
		if !ok || err != nil {
			return false, err
		}
		for _, u := range units {
			if !u.is(system, code) {
				return false, nil
			}
		}
		return t.compare(p, want), nil
	}, nil
}

// unit is what a quantity is measured in.
type unit struct{ system, code, text string }

// is compares exactly: in UCUM, m is not M. Without a system the human unit
// counts too.
func (u unit) is(system, code string) bool {
	switch {
	case code == "":
		return true
	case system == "":
		return u.code == code || u.text == code
	}
	return u.system == system && u.code == code
}

const currencies = "urn:iso:std:iso:4217"

// intervalOf gives the numbers an element stands for and the units it has. ok is
// false when it holds no number.
func intervalOf(n fhir.Node, typ string) (t interval, units []unit, ok bool, err error) {
	switch typ {
	case "integer", "positiveInt", "unsignedInt", "decimal":
		d, err := nodeDecimal(n)
		return exactly(d.value), nil, err == nil, err
	case "Quantity", "SimpleQuantity", "Age", "Duration", "Count", "Distance":
		return quantity(n)
	case "Money":
		if !n.Get("value").Exists() {
			return interval{}, nil, false, nil
		}
		d, err := nodeDecimal(n.Get("value"))
		currency := n.Get("currency").Text()
		return exactly(d.value), []unit{{currencies, currency, currency}}, err == nil, err
	case "Range":
		return numberRange(n)
	}
	return interval{}, nil, false, nil // SampledData has no one value; the rest no number
}

// nodeDecimal reads a number that is there; a string is none.
func nodeDecimal(n fhir.Node) (decimal, error) {
	if n.IsString() {
		return decimal{}, errNumber
	}
	return parseDecimal(n.Text())
}

func quantity(n fhir.Node) (t interval, units []unit, ok bool, err error) {
	if !n.Get("value").Exists() {
		return interval{}, nil, false, nil
	}
	d, err := nodeDecimal(n.Get("value"))
	if err != nil {
		return interval{}, nil, false, err
	}
	switch n.Get("comparator").Text() {
	case "":
		t = exactly(d.value)
	case "<":
		t = interval{high: d.value, highOpen: true}
	case "<=":
		t = interval{high: d.value}
	case ">":
		t = interval{low: d.value, lowOpen: true}
	case ">=":
		t = interval{low: d.value}
	default:
		return interval{}, nil, false, errUnsupported
	}
	return t, []unit{{n.Get("system").Text(), n.Get("code").Text(), n.Get("unit").Text()}}, true, nil
}

// numberRange goes from low to high; a missing end is unbounded.
func numberRange(n fhir.Node) (t interval, units []unit, ok bool, err error) {
	low, lowUnit, hasLow, err := quantity(n.Get("low"))
	if err != nil {
		return interval{}, nil, false, err
	}
	high, highUnit, hasHigh, err := quantity(n.Get("high"))
	if err != nil {
		return interval{}, nil, false, err
	}
	return interval{low: low.low, high: high.high}, append(lowUnit, highUnit...), hasLow || hasHigh, nil
}
