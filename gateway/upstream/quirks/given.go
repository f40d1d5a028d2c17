package quirks

import (
	"encoding/base64"
	"errors"
	"hash/fnv"
	"slices"

	"github.com/portico-fhir/portico/fhir"
)

const (
	maxGiven  = 200 // hashes that a link carries
	givenSize = 5   // bytes of one: among thousands of resources two are hardly alike
)

// given is what pages before this one gave that another call of the plan may find
// again: a resource with several of the values that are asked for one by one, or
// with none that we can see. What has just the value it was asked by is not noted.
type given struct {
	sums []byte // one after the other
	full bool   // there were more
}

func sum(r *fhir.Resource) []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.Type() + "/" + r.ID()))
	return h.Sum(nil)[:givenSize]
}

// note is called with what is given.
func (g *given) note(p *plan, f found) {
	if f.Resource == nil || p.calls[f.at.Call].part == nil || f.at.Call == len(p.calls)-1 {
		return
	}
	later := func(i int) bool { return i > f.at.Call }
	if p.part(f, f.at.Call) && !p.parts(f, later) {
		return
	}
	if len(g.sums) >= maxGiven*givenSize {
		g.full = true
		return
	}
	g.sums = append(g.sums, sum(f.Resource)...)
}

// has says whether a page before this one, which begins at from, gave what a call
// finds. What this page gave is known to whoever asks.
func (g *given) has(p *plan, f *found, from position) bool {
	if from == (position{}) || p.calls[f.at.Call].part == nil {
		return false
	}
	own := sum(f.Resource)
	for one := range slices.Chunk(g.sums, givenSize) {
		if slices.Equal(one, own) {
			return true
		}
	}
	past := func(i int) bool { return i < from.Call || i == from.Call && from.URL != "" && i != f.at.Call }
	if p.part(*f, f.at.Call) {
		return g.full && p.parts(*f, past)
	}
	// It has another value than it was found by: the call for that one gives it.
	return p.parts(*f, func(i int) bool { return past(i) || g.full && i != f.at.Call })
}

// part says whether a resource has the value that a call asks for.
func (p *plan) part(f found, call int) bool {
	ok, err := p.calls[call].part.Match(f.Resource)
	return err == nil && ok
}

func (p *plan) parts(f found, which func(call int) bool) bool {
	for i := range p.calls {
		if which(i) && p.part(f, i) {
			return true
		}
	}
	return false
}

// text writes it for a link.
func (g *given) text() string { return base64.RawURLEncoding.EncodeToString(g.sums) }

func readGiven(text string, full bool) (given, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw)%givenSize != 0 || len(raw) > maxGiven*givenSize {
		return given{}, errors.New("quirks: a paging address that is none of ours")
	}
	return given{raw, full}, nil
}
