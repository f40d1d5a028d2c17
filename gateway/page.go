package gateway

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// pageLife is how long a paging link is good: long enough for an app that
// works through a record, short enough that a leaked one is soon worthless.
const pageLife = time.Hour

// MaxLink bounds a paging link, which holds the whole search: a server in front
// of a Gateway must take URLs of this length. A search by POST may be longer than
// what a link can hold; then there can be no second page.
const MaxLink = 24 << 10

// pageState is what a sealed paging handle holds: what was asked, as it was
// understood, and where the upstream goes on.
type pageState struct {
	Query   string    `json:"q"` // the app's own, canonical
	Next    []pending `json:"n"`
	Expires int64     `json:"e"`           // Unix seconds
	Total   int       `json:"t,omitempty"` // of all pages plus one, when it was counted
}

// bound ties a handle to source, patient, app and what is asked for: for anybody
// else it does not open. Scopes are not part of it: the token of the request
// decides.
func (x *exchange) bound() string {
	return strings.Join([]string{x.src.ID, x.grant.Patient, x.grant.Client, x.place}, "\x00")
}

// canonical is what is asked at x.place, in one spelling.
func (x *exchange) canonical() string {
	if x.query != "" || x.several || x.ask.Interaction != guard.Search {
		return x.query
	}
	return x.ask.Query.Encode()
}

// people are the types of which a date, too, may tell whom is meant.
var people = []string{"Patient", "Person", "Practitioner", "RelatedPerson"}

// codes are the parameters whose values say what is looked for and never whom.
var codes = []string{
	"category", "class", "clinical-status", "code", "intent", "lifecycle-status", "status", "type", "vaccine-code", "verification-status",
}

// namesNobody says that what is asked could be anybody's question: codes, dates and
// amounts, and the patient whom the token is for.
func (x *exchange) namesNobody() bool {
	if x.several || x.ask.Interaction != guard.Search || slices.Contains(people, x.ask.Type) {
		return false
	}
	return !slices.ContainsFunc(x.ask.Query.Params, func(p search.Param) bool {
		switch d := p.Definition; d.Kind {
		case search.Date, search.Number, search.Quantity:
			return false
		case search.Token:
			return !slices.Contains(codes, d.Name)
		default:
			return d.Name != "patient" && d.Name != "subject" // another's is refused
		}
	})
}

// link gives a URL of this answer's place.
func (x *exchange) link(query string) string {
	if query == "" {
		return x.src.publicBase + "/" + x.place
	}
	return x.src.publicBase + "/" + x.place + "?" + query
}

// nextLink seals where the answer goes on, "" when it is at its end.
func (g *Gateway) nextLink(x *exchange) (string, error) {
	if len(x.next) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(pageState{Query: x.canonical(), Next: x.next, Expires: g.now().Add(pageLife).Unix(), Total: x.total + 1})
	if err != nil {
		return "", fmt.Errorf("gateway: paging state: %w", err)
	}
	query := pageName + "=" + url.QueryEscape(g.pages.SealText(raw, x.bound()))
	if x.pretty {
		query += "&_pretty=true"
	}
	link := x.link(query)
	if len(link) > MaxLink {
		return "", fault.New(fault.TooLarge, "This search is too long to be given in pages: ask for fewer values at once.")
	}
	return link, nil
}

// openPage opens a paging handle if there is one among the parameters, and gives
// what was asked first. Nothing else may stand beside it; a handle of somebody
// else, an old or a changed one all look like none.
func (g *Gateway) openPage(x *exchange, pairs []search.Pair) (asked []search.Pair, resumed bool, err error) {
	x.prettily(pairs)
	at := slices.IndexFunc(pairs, func(p search.Pair) bool { return p.Name == pageName })
	if at < 0 {
		return pairs, false, nil
	}
	for _, p := range slices.Delete(slices.Clone(pairs), at, at+1) {
		if p.Name != "_format" && p.Name != "_pretty" {
			return nil, false, fault.New(fault.Invalid, "A paging link takes no further parameters.")
		}
	}
	gone := fault.New(fault.NotFound, "This page is not (or no longer) there: repeat the search.")
	raw, err := g.pages.OpenText(pairs[at].Value, x.bound())
	if err != nil {
		return nil, false, gone
	}
	var state pageState
	if err := json.Unmarshal(raw, &state); err != nil || g.now().Unix() >= state.Expires || len(state.Next) == 0 {
		return nil, false, gone
	}
	if asked, err = search.ParsePairs(state.Query); err != nil {
		return nil, false, gone
	}
	x.resume, x.total, x.linkEnds = state.Next, state.Total-1, time.Unix(state.Expires, 0)
	return asked, true, nil
}

// encodePairs prints parameters that were read, but for how the answer is laid
// out.
func encodePairs(pairs []search.Pair) string {
	var out []string
	for _, p := range pairs {
		if p.Name != "_format" && p.Name != "_pretty" {
			out = append(out, url.QueryEscape(p.Name)+"="+url.QueryEscape(p.Value))
		}
	}
	return strings.Join(out, "&")
}
