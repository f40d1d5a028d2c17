package gateway

import (
	"context"
	"maps"
	"sync"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/scope"
)

// countAtOnce is how many types are counted at the same time.
const countAtOnce = 6

// Counts tells how many entries of a patient each of the scopes opens, by its
// text, for the page where the patient decides. It goes the way of every
// request from narrowing to judging, so that a number is what an app would get;
// nothing but numbers comes out, so nothing is released or recorded. Types that
// describe the health system are not counted, nor is what takes longer than ctx
// lasts or fails: the page is drawn without.
func (g *Gateway) Counts(ctx context.Context, source, patient string, of []scope.Resource) map[string]int {
	src, ok := g.sources[source]
	if !ok || patient == "" {
		return nil
	}
	byType := map[string][]scope.Resource{}
	for _, s := range of {
		class := compartment.Of(s.Type).Class
		if class == compartment.Own || class == compartment.Shared {
			byType[s.Type] = append(byType[s.Type], s)
		}
	}
	var (
		mu   sync.Mutex
		out  = map[string]int{}
		wg   sync.WaitGroup
		slot = make(chan struct{}, countAtOnce)
	)
	for typ, scopes := range byType {
		wg.Go(func() {
			slot <- struct{}{}
			defer func() { <-slot }()
			counted, err := g.countType(ctx, src, patient, typ, scopes)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(out, counted)
		})
	}
	wg.Wait()
	return out
}

func (g *Gateway) countType(ctx context.Context, src *source, patient, typ string, scopes []scope.Resource) (map[string]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x := &exchange{
		ctx: ctx, src: src, up: src.Upstream, log: reqctx.From(ctx), proven: map[string]bool{}, proofs: new(int),
		who: guard.Who{Patient: patient, Scopes: scope.Set{Resources: scopes}, Base: src.Base, Now: g.now, Labels: src.Labels},
		ask: guard.Ask{Interaction: guard.Search, Type: typ, Query: search.Query{Type: typ, Count: -1, Summary: "count"}},
	}
	if err := x.authorise(); err != nil {
		return nil, err
	}
	if err := g.narrow(x); err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, s := range scopes {
		out[s.String()] = 0
	}
	for one, err := range g.check(x, g.fetch(x)) {
		if err != nil {
			return nil, err
		}
		for _, s := range scopes {
			if one.match && (len(s.Filter) == 0 || x.who.Within(s, one.resource)) {
				out[s.String()]++
			}
		}
	}
	return out, nil
}
