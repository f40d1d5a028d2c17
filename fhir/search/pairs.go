package search

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Pair is one name=value of a query or form, decoded once.
type Pair struct{ Name, Value string }

// Bounds on what is read at all. Real clients stay far below.
const (
	maxQuery  = 64 << 10
	maxPairs  = 128
	maxName   = 128
	maxValue  = 16 << 10
	maxValues = 512 // alternatives of one parameter
)

// ParsePairs reads application/x-www-form-urlencoded text: a URL's query or the
// body of a POST _search. What two readers could cut or decode differently is
// refused: ';', control characters, a broken %xx, bad UTF-8 (docs/pitfalls.md 12).
// The error is a *Error.
func ParsePairs(rawQuery string) ([]Pair, error) {
	switch {
	case len(rawQuery) > maxQuery:
		return nil, &Error{Reason: "the query is too long"}
	case strings.ContainsRune(rawQuery, ';'):
		return nil, &Error{Reason: "the query contains ';': write %3B inside a value, '&' between parameters"}
	}
	var out []Pair
	for part := range strings.SplitSeq(rawQuery, "&") {
		if part == "" {
			continue
		}
		if len(out) == maxPairs {
			return nil, &Error{Reason: "the query has too many parameters"}
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := decode(name, maxName)
		if err != nil {
			return nil, err
		}
		value, err = decode(value, maxValue)
		if err != nil {
			err.Param = printable(name)
			return nil, err
		}
		if name == "" {
			return nil, &Error{Reason: "a parameter has no name"}
		}
		out = append(out, Pair{name, value})
	}
	return out, nil
}

func decode(s string, limit int) (string, *Error) {
	out, err := url.QueryUnescape(s)
	switch {
	case err != nil:
		return "", &Error{Reason: "is not properly percent-encoded"}
	case len(out) > limit:
		return "", &Error{Reason: "is too long"}
	case !utf8.ValidString(out):
		return "", &Error{Reason: "is not UTF-8"}
	case strings.ContainsFunc(out, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "", &Error{Reason: "contains a control character"}
	}
	return out, nil
}
