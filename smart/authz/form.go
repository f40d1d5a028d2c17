package authz

import (
	"crypto/subtle"
	"net/url"
	"strings"
)

// field is one field of a form of ours; unlike a parameter of OAuth it may stand
// more than once.
type field struct{ name, value string }

func parseFields(body string) ([]field, error) {
	var out []field
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, errMalformedParams
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			return nil, errMalformedParams
		}
		out = append(out, field{name, value})
	}
	return out, nil
}

// only gives the value of a field that stands once, otherwise "".
func only(fields []field, name string) string {
	if values := all(fields, name); len(values) == 1 {
		return values[0]
	}
	return ""
}

func all(fields []field, name string) []string {
	var out []string
	for _, f := range fields {
		if f.name == name {
			out = append(out, f.value)
		}
	}
	return out
}

func goodToken(want, got string) bool {
	return subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}
