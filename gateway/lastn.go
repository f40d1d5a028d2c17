package gateway

import (
	"iter"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// maxLast bounds how many observations of each code are given.
const maxLast = 1_000

// parseLastN understands Observation/$lastn (R4 Observation, operation lastn):
// the newest so many observations of each code.
func (g *Gateway) parseLastN(x *exchange, pairs []search.Pair) error {
	x.whole = true
	x.ask.Interaction = guard.Search
	most := 1
	var asked []search.Pair
	for _, p := range pairs {
		base, _, _ := strings.Cut(p.Name, ":")
		switch base {
		case "max":
			n, ok := asInt(p.Value, 1, maxLast)
			if !ok {
				return fault.New(fault.Invalid, "max takes a number, 1 or more.")
			}
			most = n
		case "patient", "subject", "category", "code":
			asked = append(asked, p)
		default:
			return fault.New(fault.Invalid, "$lastn takes max, patient or subject, category and code.")
		}
	}
	if err := g.understandAll(x, asked); err != nil {
		return err
	}
	x.asks = []guard.Ask{x.ask}
	x.pick = func(in iter.Seq2[kept, error]) iter.Seq2[kept, error] { return x.last(in, most) }
	return nil
}

// last gives the newest of each code, newest first; the order in which the
// upstream gives them does not matter.
func (x *exchange) last(in iter.Seq2[kept, error], most int) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		all, err := gather(in)
		if err != nil {
			yield(kept{}, err)
			return
		}
		newestFirst(all, "date")
		groups := newGroups("code")
		for _, one := range all {
			if groups.of(one.resource).add() <= most && !yield(one, nil) {
				return
			}
		}
	}
}

// groups puts resources together whose concept shares a coding or, where there
// is none, has the same text.
type groups struct {
	element string
	known   map[string]*group
}

type group struct{ size int }

func newGroups(element string) *groups { return &groups{element, map[string]*group{}} }

func (g *group) add() int {
	g.size++
	return g.size
}

func (g *groups) of(r *fhir.Resource) *group {
	var keys []string
	concept := r.Root().Get(g.element)
	for c := range concept.At("coding") {
		keys = append(keys, c.Get("system").Text()+"|"+c.Get("code").Text())
	}
	if len(keys) == 0 {
		keys = []string{"\x00" + strings.ToLower(strings.TrimSpace(concept.Get("text").Text()))}
	}
	var found *group
	for _, key := range keys {
		if found = g.known[key]; found != nil {
			break
		}
	}
	if found == nil {
		found = &group{}
	}
	for _, key := range keys {
		if g.known[key] == nil {
			g.known[key] = found
		}
	}
	return found
}
