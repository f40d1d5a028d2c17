package authz

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/internal/fault"
)

// params are the parameters of a request, each decoded once. One without a
// value counts as not sent (RFC 6749 §3.1).
type params struct {
	values map[string]string
	twice  []string // names that stand more than once, with or without value
}

func (p params) get(name string) string { return p.values[name] }

// size is the length of all names and values.
func (p params) size() int {
	n := 0
	for name, value := range p.values {
		n += len(name) + len(value)
	}
	return n
}

// repeated tells whether one of names stands more than once.
func (p params) repeated(names ...string) bool {
	return slices.ContainsFunc(p.twice, func(n string) bool { return slices.Contains(names, n) })
}

// parseParams reads application/x-www-form-urlencoded texts as one list, so
// that a name in the query and in the body is a repetition.
func parseParams(texts ...string) (params, error) {
	p := params{values: map[string]string{}}
	seen := map[string]bool{}
	for _, text := range texts {
		for pair := range strings.SplitSeq(text, "&") {
			if pair == "" {
				continue
			}
			name, value, _ := strings.Cut(pair, "=")
			name, err := url.QueryUnescape(name)
			if err != nil {
				return params{}, errMalformedParams
			}
			value, err = url.QueryUnescape(value)
			if err != nil {
				return params{}, errMalformedParams
			}
			switch {
			case seen[name]:
				if !slices.Contains(p.twice, name) {
					p.twice = append(p.twice, name)
				}
			case value != "":
				p.values[name] = value
			}
			seen[name] = true
		}
	}
	return p, nil
}

var (
	errMalformedParams = errors.New("the parameters are not application/x-www-form-urlencoded")
	errNotForm         = errors.New("the body must be application/x-www-form-urlencoded")
)

// readForm gives the body of a form post.
func readForm(w http.ResponseWriter, r *http.Request) (string, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return "", errNotForm
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxParametersSize))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return "", fault.Wrap(err, fault.TooLarge, "The form is too large.")
	}
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "The form could not be read.")
	}
	return string(body), nil
}
