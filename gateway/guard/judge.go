package guard

import (
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/sensitivity"
	"github.com/portico-fhir/portico/smart/scope"
)

// Decision is what happens to one resource.
type Decision uint8

const (
	// Withhold is the zero value on purpose: what nobody decided does not leave.
	Withhold Decision = iota
	// Keep releases it, with the places in Mask masked.
	Keep
	// ProveTargets releases it if every resource in Targets is released.
	ProveTargets
	// ProveReach releases it if something of the patient's own, which the token
	// may read, points to it.
	ProveReach
	// ProveVersion releases it if a version of the same resource is released.
	ProveVersion
)

// Verdict is the decision on one resource with its reason, which is a constant
// word for logs and traces and never holds content.
type Verdict struct {
	Decision Decision
	Reason   string
	Mask     []fhir.Node      // references to other patients, for Keep and the Prove decisions
	Targets  []fhir.Reference // ProveTargets
	Tell     bool             // Withhold: it is the patient's, and its label lets that be told
}

func withhold(reason string) Verdict { return Verdict{Reason: reason} }

// Judge decides on one resource that came back: step 6 of the path. It trusts
// nothing about how the resource was asked for.
func (w Who) Judge(r *fhir.Resource) Verdict {
	return w.judge(r, scope.Read, scope.Search)
}

// judge withholds what is labelled as sensitive, after all else was decided: of
// what is somebody else's not even that may be told.
func (w Who) judge(r *fhir.Resource, accesses ...scope.Access) Verdict {
	v := w.judgeOwner(r, accesses...)
	if label := w.Labels.Of(r); v.Decision != Withhold && label != sensitivity.Open {
		return Verdict{Reason: "sensitive", Tell: label == sensitivity.Tell && v.Reason == "own"}
	}
	return v
}

// judgeOwner wants one of the accesses: a scope to search opens no read, and the
// other way round.
func (w Who) judgeOwner(r *fhir.Resource, accesses ...scope.Access) Verdict {
	rule := compartment.Of(r.Type())
	switch {
	case r.ID() == "":
		return withhold("no-id")
	case !rule.Class.Served():
		return withhold("closed-type")
	case !w.opens(r, accesses...):
		return withhold("scope")
	}
	mask, ok := w.whose().Strangers(r)
	if !ok {
		return withhold("unmaskable")
	}
	switch w.whose().Member(r) {
	case compartment.Mine:
		return Verdict{Decision: Keep, Reason: "own", Mask: mask}
	case compartment.Common:
		return Verdict{Decision: Keep, Reason: "directory", Mask: mask}
	case compartment.Foreign:
		return withhold("foreign")
	case compartment.Undecided:
	}
	return w.judgeUndecided(rule, r, mask)
}

func (w Who) judgeUndecided(rule compartment.Rule, r *fhir.Resource, mask []fhir.Node) Verdict {
	if rule.Class != compartment.Through && rule.Class != compartment.Reached {
		return withhold("no-owner")
	}
	targets, ok := w.targets(rule, r)
	switch {
	case !ok:
		return withhold("unprovable-target")
	case len(targets) > 0:
		return Verdict{Decision: ProveTargets, Reason: "through", Mask: mask, Targets: targets}
	case rule.Class == compartment.Reached:
		return Verdict{Decision: ProveReach, Reason: "reached", Mask: mask}
	}
	return withhold("no-target")
}

// targets gives everything the resource points to through its rule; all of it
// must be resources of this upstream. Where parts of the resource point, as the
// details of a payment do, each of them must. What points to the directory alone
// points to nobody's, which proves nothing.
func (w Who) targets(rule compartment.Rule, r *fhir.Resource) ([]fhir.Reference, bool) {
	var out []fhir.Reference
	personal := false
	parts := map[fhir.Node]bool{} // whether a part points somewhere
	for _, path := range rule.Through {
		steps := strings.Split(path, ".")
		last := len(steps) - 1
		for part := range r.Root().At(steps[:last]...) {
			parts[part] = parts[part] || last == 0
			for ref := range part.At(steps[last]) {
				to := w.Base.Resolve(ref.Get("reference").Text())
				if to.Where != fhir.Local {
					return nil, false
				}
				somebodys := compartment.Of(to.Type).Class != compartment.Directory
				out, personal, parts[part] = append(out, to), personal || somebodys, parts[part] || somebodys
			}
		}
	}
	for _, points := range parts {
		if !points {
			return nil, false
		}
	}
	if !personal {
		return nil, true
	}
	return out, true
}

// JudgeFound decides on one entry of the answer to the plan's call-th search:
// Judge, and was it asked for at all? match says whether it is a match of the
// search itself rather than an include; mode is what the upstream says.
func (p *Plan) JudgeFound(r *fhir.Resource, mode string, call int) (v Verdict, match bool) {
	switch {
	case p.Ask.Interaction != Search:
		// Every version is judged by what it says itself: the resource may have
		// been somebody else's then.
		another := p.Ask.Version != "" && r.VersionID() != "" && r.VersionID() != p.Ask.Version
		if r.Type() != p.Ask.Type || r.ID() != p.Ask.ID || another {
			return withhold("not-asked"), false
		}
		return p.Who.judge(r, scope.Read), true
	case r.Type() == p.Ask.Type && mode != "include":
		satisfied, err := p.filter.Match(r)
		switch {
		case satisfied && err == nil && p.foundEarlier(r, call):
			return withhold("duplicate"), false
		case satisfied && err == nil:
			if v = p.Who.judge(r, scope.Search); v.Decision != Withhold && !p.findsMasked(r, v.Mask) {
				return withhold("unmatched"), false // it would tell of what is masked
			}
			return v, true
		case mode == "match":
			return withhold("unmatched"), false
		}
	}
	if !p.includes(r.Type()) {
		return withhold("not-asked"), false
	}
	return p.Who.Judge(r), false
}

// findsMasked says whether a match matches also as it leaves.
func (p *Plan) findsMasked(r *fhir.Resource, mask []fhir.Node) bool {
	masked, err := r.Replacing(mask, `{}`)
	if err != nil {
		return false
	}
	satisfied, err := p.filter.Match(masked)
	return satisfied && err == nil
}

// JudgeDeleted decides on an entry of a history that says that the resource was
// deleted, and names it. It holds nothing that tells whose it was, so a version
// has to.
func (p *Plan) JudgeDeleted(name string) Verdict {
	if p.Ask.Interaction != History || !p.Who.Base.Resolve(name).Is(p.Ask.Type, p.Ask.ID) {
		return withhold("not-asked")
	}
	return Verdict{Decision: ProveVersion, Reason: "deleted"}
}

// includes says whether an include of the app's leads to a type.
func (p *Plan) includes(typ string) bool {
	for _, in := range p.Ask.Query.RevInclude {
		if in.Source == typ {
			return true
		}
	}
	for _, in := range p.Ask.Query.Include {
		if in.Target == typ {
			return true
		}
		if d, known := search.Lookup(in.Source, in.Param); in.Target == "" && known && (len(d.Targets) == 0 || slices.Contains(d.Targets, typ)) {
			return true
		}
	}
	return false
}

// foundEarlier says whether an earlier call of the plan finds this resource too:
// the first call finds what has an owner element, each further one what its
// parameter's element names.
func (p *Plan) foundEarlier(r *fhir.Resource, call int) bool {
	if call <= 0 || call >= len(p.Calls) {
		return false
	}
	for _, owner := range p.Rule.Owners {
		for range r.Root().At(strings.Split(owner, ".")...) {
			return true
		}
	}
	for _, earlier := range p.Calls[1:call] {
		d, known := search.Lookup(p.Ask.Type, earlier.Added)
		if !known {
			continue
		}
		for v := range d.Values(r) {
			if p.Who.Base.Resolve(v.Get("reference").Text()).Is("Patient", p.Who.Patient) {
				return true
			}
		}
	}
	return false
}

// ProofOf says whether a released resource proves the reach of another one: it
// must be the patient's own, not merely a directory entry, and point to it.
func (w Who) ProofOf(r *fhir.Resource, typ, id string) bool {
	v := w.Judge(r)
	return v.Decision == Keep && v.Reason == "own" && w.pointsTo(r, typ, id) && (typ != "Binary" || w.Leads(r))
}

// pointsTo looks for the reference, and for attachment URLs, anywhere in r.
func (w Who) pointsTo(r *fhir.Resource, typ, id string) bool {
	found := false
	r.Root().Descend(func(n fhir.Node) {
		if !found && n.IsString() && (n.Named("reference") || n.Named("url")) {
			found = w.Base.Resolve(n.Text()).Is(typ, id)
		}
	})
	return found
}
