package gateway

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/fault"
)

// pageLife is how long a paging link is good: long enough for an app that
// works through a record, short enough that a leaked one is soon worthless.
const pageLife = time.Hour

// MaxLink bounds a paging link, which holds the whole search: a server in front
// of a Gateway must take URLs of this length. A search by POST may be longer than
// what a link can hold; then there can be no second page.
const MaxLink = 24 << 10

// pageState is what a sealed paging handle holds: the search as it was
// understood, and where the upstream goes on.
type pageState struct {
	Query   string    `json:"q"` // the app's own, canonical
	Next    []pending `json:"n"`
	Expires int64     `json:"e"` // Unix seconds
}

// bound ties a handle to source, patient, app and type: for anybody else it
// does not open. Scopes are not part of it: the token of the request decides.
func (x *exchange) bound() string {
	return strings.Join([]string{x.src.ID, x.grant.Patient, x.grant.Client, x.ask.Type}, "\x00")
}

// nextLink seals where the search goes on, "" when it is at its end.
func (g *Gateway) nextLink(x *exchange) (string, error) {
	if len(x.next) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(pageState{Query: x.ask.Query.Encode(), Next: x.next, Expires: g.now().Add(pageLife).Unix()})
	if err != nil {
		return "", fmt.Errorf("gateway: paging state: %w", err)
	}
	handle := g.pages.SealText(raw, x.bound())
	link := x.src.publicBase + "/" + x.ask.Type + "?" + pageName + "=" + url.QueryEscape(handle)
	if len(link) > MaxLink {
		return "", fault.New(fault.TooLarge, "This search is too long to be given in pages: ask for fewer values at once.")
	}
	return link, nil
}

// resumePage opens a paging handle. Nothing else may stand beside it; a handle
// of somebody else, an old or a changed one all look like none.
func (g *Gateway) resumePage(x *exchange, pairs []search.Pair, at int) error {
	beside := slices.Delete(slices.Clone(pairs), at, at+1)
	for _, p := range beside {
		if p.Name != "_format" && p.Name != "_pretty" {
			return fault.New(fault.Invalid, "A paging link takes no further parameters.")
		}
	}
	gone := fault.New(fault.NotFound, "This page is not (or no longer) there: repeat the search.")
	raw, err := g.pages.OpenText(pairs[at].Value, x.bound())
	if err != nil {
		return gone
	}
	var state pageState
	if err := json.Unmarshal(raw, &state); err != nil || g.now().Unix() >= state.Expires {
		return gone
	}
	original, err := search.ParsePairs(state.Query)
	if err != nil {
		return gone
	}
	x.resume = state.Next
	return g.understand(x, original, true)
}
