package gateway

import (
	"iter"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/clinical"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// parseDocref understands DocumentReference/$docref (US Core 6.1.0): documents of
// the patient of a time and type. Without start and end it is the current one of
// each type. None is made on demand, so a request for such alone finds nothing.
func (g *Gateway) parseDocref(x *exchange, pairs []search.Pair) error {
	x.whole = true
	x.ask.Interaction = guard.Search
	var asked []search.Pair
	var start, end string
	var profiles []string
	onDemand := false
	for _, p := range pairs {
		switch p.Name {
		case "patient", "type":
			asked = append(asked, p)
		case "start":
			start = p.Value
		case "end":
			end = p.Value
		case "profile":
			profiles = strings.Split(p.Value, ",")
		case "on-demand":
			if p.Value != "true" && p.Value != "false" {
				return fault.New(fault.Invalid, "on-demand takes true or false.")
			}
			onDemand = p.Value == "true"
		default:
			return fault.New(fault.Invalid, "$docref takes patient, start, end, type, on-demand and profile.")
		}
	}
	if indexOf(asked, "patient") < 0 {
		return fault.New(fault.Invalid, "$docref needs the parameter patient.")
	}
	if err := g.understandAll(x, asked); err != nil {
		return err
	}
	x.asks = []guard.Ask{x.ask}
	if err := x.between(start, end); err != nil {
		return err
	}
	inTime := x.also
	x.also = func(r *fhir.Resource) bool {
		return !onDemand && (inTime == nil || inTime(r)) && conforms(r, profiles)
	}
	x.pick = func(in iter.Seq2[kept, error]) iter.Seq2[kept, error] {
		return x.documents(in, start == "" && end == "")
	}
	return nil
}

// understandAll reads a search of which all pages make one answer.
func (g *Gateway) understandAll(x *exchange, pairs []search.Pair) error {
	view := x.view
	if err := g.understand(x, pairs, true); err != nil {
		return err
	}
	x.view = view
	x.ask.Query.Count, x.ask.Query.Summary = x.src.PageSize, view.Summary
	return nil
}

// conforms says whether a document says that it is of one of the formats.
func conforms(r *fhir.Resource, profiles []string) bool {
	if len(profiles) == 0 {
		return true
	}
	for format := range r.Root().At("content", "format") {
		system, code := format.Get("system").Text(), format.Get("code").Text()
		if slices.Contains(profiles, code) || slices.Contains(profiles, system) || slices.Contains(profiles, system+"|"+code) {
			return true
		}
	}
	return false
}

// documents gives what is kept, newest first; of each type the current one when
// only that is wanted.
func (x *exchange) documents(in iter.Seq2[kept, error], current bool) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		all, err := gather(in)
		if err != nil {
			yield(kept{}, err)
			return
		}
		newestFirst(all, "period", "date")
		groups := newGroups("type")
		for _, one := range all {
			if current && (one.resource.Root().Get("status").Text() != "current" || groups.of(one.resource).add() > 1) {
				continue
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}

// maxGathered bounds the bytes of what must be known whole before it can be put
// in order.
const maxGathered = 64 << 20

func gather(in iter.Seq2[kept, error]) ([]kept, error) {
	var all []kept
	size := 0
	for one, err := range in {
		if err != nil {
			return nil, err
		}
		if size += len(one.resource.Bytes()); size > maxGathered {
			return nil, fault.New(fault.Unsupported, "There are too many results for one answer; ask for fewer.")
		}
		all = append(all, one)
	}
	return all, nil
}

// between keeps what tells of care from start to end, both of which may be
// missing.
func (x *exchange) between(start, end string) error {
	if start == "" && end == "" {
		return nil
	}
	types := make([]string, 0, len(x.asks))
	for _, ask := range x.asks {
		types = append(types, ask.Type)
	}
	period, err := clinical.Between(types, start, end, search.Matcher{Base: x.who.Base, Now: x.who.Now})
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "start and end take a date or a time.")
	}
	x.also = period.Holds
	return nil
}

// newestFirst sorts what is kept by its time of care; what has none comes last.
// Of the same time the order stays.
func newestFirst(all []kept, names ...string) {
	slices.SortStableFunc(all, func(a, b kept) int {
		return clinical.When(b.resource, names...).Compare(clinical.When(a.resource, names...))
	})
}
