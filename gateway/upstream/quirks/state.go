package quirks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/fault"
)

// scheme begins the address of a page that only a Reader can give. It is no URL
// of any server: whoever follows it without a Reader gets nowhere.
const scheme = "portico-quirk:"

const (
	maxState = 12 << 10 // bytes of such an address: it travels inside a link that has its own bound
	maxSkip  = 10 << 20 // entries
)

// position is where a page begins.
type position struct {
	Call int    `json:"c,omitempty"` // index of the plan's call
	URL  string `json:"u,omitempty"` // the upstream's page, "" for the first
	Skip int    `json:"s,omitempty"` // entries of it that were given already
}

// state is a position in a search. The plan is made anew from the query, so that
// nothing but what a search can ask for comes out of a link.
type state struct {
	Type  string `json:"t"`
	Query string `json:"q"`
	Given string `json:"g,omitempty"` // see given
	Full  bool   `json:"f,omitempty"`
	position
}

// link writes the address of a page.
func (s state) link() (string, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	text := scheme + base64.RawURLEncoding.EncodeToString(raw)
	if len(text) > maxState {
		return "", fault.New(fault.TooLarge, "This search is too long to be given in pages: ask for fewer values at once.")
	}
	return text, nil
}

// open reads such an address. It comes back sealed by the gateway, so nobody can
// have made it up; it is checked all the same.
func (r *Reader) open(link string) (state, error) {
	bad := errors.New("quirks: a paging address that is none of ours")
	text, ours := strings.CutPrefix(link, scheme)
	if !ours || len(link) > maxState || r.plain {
		return state{}, bad
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return state{}, bad
	}
	var s state
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil || decoder.More() {
		return state{}, bad
	}
	if !search.IsResourceType(s.Type) || s.Call < 0 || s.Call > maxCalls || s.Skip < 0 || s.Skip > maxSkip {
		return state{}, bad
	}
	if s.URL != "" {
		if at, err := r.absolute(s.URL, ""); err != nil || at != s.URL || !r.below(s.URL) {
			return state{}, bad
		}
	}
	return s, nil
}

// below says whether a URL is on the base.
func (r *Reader) below(link string) bool {
	if _, ok := r.base.Relative(link); ok {
		return true
	}
	at, _, _ := strings.Cut(link, "?")
	b, err := fhir.ParseBase(at)
	return err == nil && b == r.base
}

// absolute turns the link to a further page into a URL on the base: one under
// another name of the server, or relative to the page that it stands on, whose
// URL is from, or to the base when that is not known. The connector below refuses
// what leads elsewhere.
func (r *Reader) absolute(link, from string) (string, error) {
	u, err := url.Parse(link)
	if err != nil || len(link) > maxState {
		return "", fault.Wrap(errors.New("quirks: a link to a further page is no URL"), fault.Upstream, unusable)
	}
	if u.IsAbs() {
		for _, alias := range r.aliases {
			if rest, ok := alias.Relative(link); ok {
				return r.base.String() + "/" + rest, nil
			}
			if at, query, _ := strings.Cut(link, "?"); at == alias.String() || at == alias.String()+"/" {
				return r.base.String() + "?" + query, nil
			}
		}
		return link, nil
	}
	if from == "" {
		from = r.base.String() + "/"
	}
	page, err := url.Parse(from)
	if err != nil {
		return "", fault.Wrap(errors.New("quirks: a page without a URL"), fault.Upstream, unusable)
	}
	return page.ResolveReference(u).String(), nil
}
