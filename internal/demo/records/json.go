package records

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// obj is a JSON object whose members keep their order, so that the same record
// always has the same bytes. A member without a value is left out, for FHIR
// knows no empty element (R4 JSON, 2.6.2.1).
type obj []field

type field struct {
	name  string
	value any
}

// list is a JSON array.
type list []any

// dec is a FHIR decimal: its digits after the point are part of its meaning.
type dec struct {
	value  float64
	places int
}

func (o obj) appendTo(b []byte) []byte {
	b = append(b, '{')
	first := true
	for _, f := range o {
		if empty(f.value) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, f.name)
		b = append(b, ':')
		b = appendValue(b, f.value)
	}
	return append(b, '}')
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case obj:
		for _, f := range v {
			if !empty(f.value) {
				return false
			}
		}
		return true
	case list:
		return len(v) == 0
	}
	return false
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case obj:
		return v.appendTo(b)
	case list:
		return v.appendTo(b)
	case dec:
		return strconv.AppendFloat(b, v.value, 'f', v.places, 64)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

func (l list) appendTo(b []byte) []byte {
	b = append(b, '[')
	first := true
	for _, v := range l {
		// nil inside an array is a real null: it pairs a primitive with its extension.
		if v != nil && empty(v) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendValue(b, v)
	}
	return append(b, ']')
}

// appendString cannot fail: every text here is compiled in or made of such.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			b, _ = jsontext.AppendQuote(b, s)
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
