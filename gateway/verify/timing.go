package verify

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// A foreign resource and a missing one must also take as long: otherwise the
// time tells that something is there. Each type is asked for both in turns, so
// that whatever else slows the machine down slows both; then the pairs decide.

const (
	// surely is how many standard deviations the sign test must be from chance,
	// twice in a row: one false alarm in about a thousand million types.
	surely = 4.0
	// The difference must be one that an app could see over a network as well.
	leastDifference = time.Millisecond
	leastShare      = 0.10 // of what a missing one takes
)

// timing compares what reading foreign and missing resources takes.
func (a *attack) timing(ctx context.Context) (Family, error) {
	done := Family{Number: 9, Title: "telling them apart by time"}
	for _, typ := range a.victim.types() {
		for _, id := range a.victim.some(typ, 1) {
			foreign, missing := request{target: "/" + typ + "/" + id}, request{target: "/" + typ + "/there-is-no-such-id-0"}
			for round := 1; ; round++ {
				pairs, err := a.pairs(ctx, foreign, missing)
				if err != nil {
					return done, err
				}
				done.Requests += 2 * len(pairs)
				by, differ := difference(pairs)
				if !differ {
					break
				}
				if round == 2 {
					done.Findings = append(done.Findings, Finding{Method: "GET", Target: foreign.target, Status: 0,
						What: fmt.Sprintf("that it exists: its answer takes %s more than that of a missing one", by.Round(10*time.Microsecond))})
					break
				}
			}
		}
	}
	return done, nil
}

// pair is what one foreign and one missing resource took.
type pair struct{ foreign, missing time.Duration }

func (a *attack) pairs(ctx context.Context, foreign, missing request) ([]pair, error) {
	out := make([]pair, a.o.Pairs)
	for i := range out {
		first, second := &out[i].foreign, &out[i].missing
		one, two := foreign, missing
		if i%2 == 1 {
			first, second, one, two = second, first, two, one
		}
		for _, turn := range []struct {
			took *time.Duration
			ask  request
		}{{first, one}, {second, two}} {
			began := a.o.Now()
			if _, err := a.send(ctx, turn.ask); err != nil {
				return nil, err
			}
			*turn.took = a.o.Now().Sub(began)
		}
	}
	return out, nil
}

// difference says by how much foreign ones take longer in the middle, and
// whether that is no chance.
func difference(pairs []pair) (time.Duration, bool) {
	var differences, missing []time.Duration
	longer, shorter := 0, 0
	for _, p := range pairs {
		d := p.foreign - p.missing
		differences, missing = append(differences, d), append(missing, p.missing)
		switch {
		case d > 0:
			longer++
		case d < 0:
			shorter++
		}
	}
	if longer+shorter == 0 {
		return 0, false
	}
	deviations := math.Abs(float64(longer-shorter)) / math.Sqrt(float64(longer+shorter))
	by, usual := middle(differences), middle(missing)
	least := max(leastDifference, time.Duration(leastShare*float64(usual)))
	return by, deviations >= surely && by.Abs() >= least
}

func middle(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
