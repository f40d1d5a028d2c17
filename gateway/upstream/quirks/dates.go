package quirks

import (
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir/search"
)

// wholeDays writes a date filter for a server that takes whole days with eq, ge,
// gt, le and lt alone, so that it finds at least what was meant. same says that
// it means just that; ok is false when it cannot be said at all.
func wholeDays(p search.Param) (out []search.Param, same, ok bool) {
	if len(p.Values) != 1 {
		return nil, false, false
	}
	prefix, text := "eq", p.Values[0]
	if len(text) > 2 && text[0] >= 'a' && text[0] <= 'z' {
		prefix, text = text[:2], text[2:]
	}
	first, last, exact := days(text)
	if first.IsZero() {
		return nil, false, false
	}
	if exact && strings.Contains("eq ge gt le lt", prefix) {
		return []search.Param{p}, true, true
	}
	from, until := with(p, "ge", first), with(p, "le", last)
	switch prefix {
	case "eq":
		return []search.Param{from, until}, false, true
	case "ge", "gt", "sa":
		return []search.Param{from}, false, true
	case "le", "lt", "eb":
		return []search.Param{until}, false, true
	}
	return nil, false, false // ne and ap leave no range to ask for
}

func with(p search.Param, prefix string, day time.Time) search.Param {
	p.Values = []string{prefix + day.Format(time.DateOnly)}
	return p
}

// days gives the first and the last day that a date may touch. A time of day is
// one day more on each side, since the server's time zone is not known.
func days(text string) (first, last time.Time, exact bool) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, t, true
	}
	if t, err := time.Parse("2006-01", text); err == nil {
		return t, t.AddDate(0, 1, -1), false
	}
	if t, err := time.Parse("2006", text); err == nil {
		return t, t.AddDate(1, 0, -1), false
	}
	day, _, timed := strings.Cut(text, "T")
	if t, err := time.Parse(time.DateOnly, day); timed && err == nil {
		return t.AddDate(0, 0, -1), t.AddDate(0, 0, 1), false
	}
	return time.Time{}, time.Time{}, false
}
