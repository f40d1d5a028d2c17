package guard

import (
	"slices"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

// Supports says whether the upstream offers a search parameter on a type.
type Supports func(typ, param string) bool

// Plan is what will be asked of the upstream in place of what the app asked.
type Plan struct {
	Who  Who
	Ask  Ask
	Rule compartment.Rule
	// Calls are asked in order and their results joined. None at all means that
	// the answer is known to be empty.
	Calls []Call
	// filter is what the app asked, evaluated by us: an upstream that ignored or
	// misread a parameter changes nothing about what the app gets.
	filter *search.Filter
	// CountOnly: the app wants a number, which is counted from what passes the
	// check and never taken from the upstream.
	CountOnly bool
	// Partial: the upstream finds more than may be told of, since only granular
	// scopes cover the type, labels withhold some of it, versions are asked for,
	// or what is found is not the patient's by the search alone. Nothing in the
	// answer may depend on what of it is withheld: no page is there for that only.
	Partial bool
}

// Call is one request to the upstream: a direct read, or a search.
type Call struct {
	ID    string // direct read of Ask.Type/ID when not ""
	Query string // otherwise the search, printed from the parse
	// Added is the Union parameter this call adds, "" for the first one. A
	// resource that an earlier call finds as well is dropped from this one.
	Added string

	search search.Query
}

// searching is the call that makes a search.
func searching(q search.Query, added string) Call {
	return Call{Query: q.Encode(), Added: added, search: q}
}

// Limited gives the query for at most n matches, for a call that has to share a
// page with those before it.
func (c Call) Limited(n int) string {
	q := c.search
	q.Count = n
	return q.Encode()
}

// Narrow adds the compartment condition: step 4 of the path. The condition is
// ours; the app's own value of a compartment parameter may only agree with it.
func (w Who) Narrow(a Ask, supports Supports) (Plan, error) {
	p := Plan{Who: w, Ask: a, Rule: compartment.Of(a.Type)}
	if a.Interaction != Search {
		p.narrowRead(supports)
		p.Partial = a.Interaction == History // of its versions some may be another's
		return p, nil
	}
	p.CountOnly = a.Query.Summary == "count" || a.Query.Count == 0
	p.Partial = w.Covers(a.Type, scope.Search) != Whole || len(w.Labels) > 0
	var err error
	if p.filter, err = (search.Matcher{Base: w.Base, Now: w.Now}).Compile(a.Query); err != nil {
		return p, fault.Wrap(err, fault.Invalid, err.Error())
	}
	return p, p.narrowSearch(supports)
}

// narrowRead fetches by a search for the id within the compartment where the
// upstream can, so that a foreign resource does not even get here and costs
// what a missing one costs. Types that several parameters find are read directly,
// and so are versions, which no search finds.
func (p *Plan) narrowRead(supports Supports) {
	if p.Rule.Class == compartment.Self {
		if p.Ask.ID == p.Who.Patient {
			p.Calls = []Call{{ID: p.Ask.ID}}
		}
		return
	}
	oneWay := (len(p.Rule.Owners) == 0) != (len(p.Rule.Participants) == 0) && len(p.Rule.Union) == 0
	owned := p.Ask.Interaction == Read && (p.Rule.Class == compartment.Own || p.Rule.Class == compartment.Shared)
	if owned && oneWay && supports(p.Ask.Type, "_id") {
		if by, ok := p.narrowBy(supports); ok {
			byID, _ := search.Lookup(p.Ask.Type, "_id")
			q := search.Query{Type: p.Ask.Type, Count: -1, Params: []search.Param{{Definition: byID, Values: []string{p.Ask.ID}}, p.own(by)}}
			p.Calls = []Call{searching(q, "")}
			return
		}
	}
	p.Calls = []Call{{ID: p.Ask.ID}}
}

// narrowBy picks the first parameter of the rule that the upstream says it has.
func (p *Plan) narrowBy(supports Supports) (search.Definition, bool) {
	for _, name := range p.Rule.Narrow {
		if d, known := search.Lookup(p.Ask.Type, name); known && supports(p.Ask.Type, name) {
			return d, true
		}
	}
	return search.Definition{}, false
}

func (p *Plan) own(d search.Definition) search.Param {
	value := "Patient/" + p.Who.Patient
	if d.Kind == search.Token || len(d.Targets) == 1 {
		value = p.Who.Patient
	}
	return search.Param{Definition: d, Values: []string{value}}
}

func (p *Plan) narrowSearch(supports Supports) error {
	q := p.Ask.Query
	if err := p.refuseStrangers(q); err != nil {
		return err
	}
	if p.CountOnly {
		q.Count, q.Include, q.RevInclude = -1, nil, nil
	}
	// Applied to what came back or not at all, so that the elements which tell
	// the owner are always there.
	q.Summary, q.Elements, q.Total = "", nil, ""
	switch {
	case p.Rule.Class == compartment.Self:
		return p.narrowSelf(q)
	case p.Rule.Class == compartment.Directory:
		p.Calls = []Call{searching(q, "")}
		return nil
	case p.anchored(q):
		p.Partial = true
		p.Calls = []Call{searching(q, "")}
		return nil
	}
	return p.narrowOwned(q, supports)
}

// refuseStrangers: no reference parameter may name another patient, whatever it
// is called.
func (p *Plan) refuseStrangers(q search.Query) error {
	for _, param := range q.Params {
		if param.Definition.Kind != search.Reference || param.Modifier == "missing" {
			continue
		}
		for _, v := range param.Values {
			stranger, err := p.Who.namesStranger(param.Definition, plain(v))
			if err != nil {
				return err
			}
			if stranger {
				return fault.New(fault.Forbidden, "The parameter %s may name no other patient than the one this token is for.", param.Definition.Name)
			}
		}
	}
	return nil
}

// narrowSelf: a search on Patient finds the own record or nothing. An _id of
// the app's is answered here, since upstreams differ in how they join two.
func (p *Plan) narrowSelf(q search.Query) error {
	kept := q.Params[:0:0]
	for _, param := range q.Params {
		if param.Definition.Name != "_id" {
			kept = append(kept, param)
			continue
		}
		if !slices.Contains(param.Values, p.Who.Patient) {
			return nil // no calls: nothing but the own record is ever found
		}
	}
	byID, _ := search.Lookup("Patient", "_id")
	q.Params = append(kept, p.own(byID))
	p.Calls = []Call{searching(q, "")}
	return nil
}

// anchored: types that no patient parameter finds are searched by something the
// app already knows; each result then has to prove itself.
func (p *Plan) anchored(q search.Query) bool {
	if len(p.Rule.Anchors) == 0 {
		return false
	}
	for _, param := range q.Params {
		if slices.Contains(p.Rule.Anchors, param.Definition.Name) && param.Modifier == "" {
			return true
		}
	}
	return false
}

func (p *Plan) narrowOwned(q search.Query, supports Supports) error {
	by, ok := p.narrowBy(supports)
	if !ok {
		return p.cannotNarrow()
	}
	asked := slices.ContainsFunc(q.Params, p.isOwnerParam)
	rest := slices.DeleteFunc(slices.Clone(q.Params), p.isOwnerParam)
	// It may find by what is masked.
	p.Partial = p.Partial || p.Rule.Class == compartment.Shared && slices.ContainsFunc(rest, func(param search.Param) bool { return param.Definition.Kind == search.Reference })
	first := q
	first.Params = append(slices.Clone(rest), p.own(by))
	p.Calls = []Call{searching(first, "")}
	if asked {
		return nil // subject = me was asked: participants are no matter
	}
	for _, name := range p.Rule.Union {
		d, known := search.Lookup(p.Ask.Type, name)
		if !known || !supports(p.Ask.Type, name) {
			continue
		}
		further := q
		further.Params = append(slices.Clone(rest), p.own(d))
		p.Calls = append(p.Calls, searching(further, name))
	}
	return nil
}

// isOwnerParam: a plain parameter of the rule that names the patient, which is
// the app agreeing with the condition that we add. actor=Practitioner/x is not.
func (p *Plan) isOwnerParam(param search.Param) bool {
	if !slices.Contains(p.Rule.Narrow, param.Definition.Name) || param.Modifier != "" || len(param.Values) != 1 {
		return false
	}
	value := plain(param.Values[0])
	return value == p.Who.Patient || p.Who.Base.Resolve(value).Is("Patient", p.Who.Patient)
}

func (p *Plan) cannotNarrow() error {
	if len(p.Rule.Anchors) > 0 {
		return fault.New(fault.Invalid, "A search on %s needs one of these parameters: %v.", p.Ask.Type, p.Rule.Anchors)
	}
	return fault.New(fault.MethodNotAllowed, "%s can be read but not searched here.", p.Ask.Type)
}
