package authz

import (
	"slices"

	"github.com/portico-fhir/portico/smart/scope"
)

// This file is what a person can choose: which boxes a request makes, and which
// scopes a form with some of them ticked means. Boxes can only take away.

// box is one box of the consent page.
type box struct {
	value string // posted back
	typ   string
	whole []scope.Resource // granted when it is ticked with all of its parts
	parts []piece
	// rest stands for what a wildcard opens beside the kinds that are shown,
	// one scope each; and for kinds that come later, while everything is ticked.
	rest []scope.Resource
}

// piece is a sub-category of a box.
type piece struct {
	value  string
	narrow []scope.Resource
}

// offer is everything that a request lets a person choose.
type offer struct {
	boxes    []box
	wildcard []scope.Resource // granted when everything of theirs is ticked
	any      []box            // the boxes that a wildcard makes
	joined   []scope.Resource // what else is in them
}

// offerOf divides what is asked for into boxes. Scopes for the same thing (.r
// and .s apart, v1 beside v2) make one box; what a wildcard opens anyway makes
// none of its own.
func (s *Server) offerOf(asked scope.Set) offer {
	var o offer
	for _, r := range asked.Resources {
		if r.Type == scope.AnyType && len(s.o.Kinds) > 0 {
			o.wildcard = append(o.wildcard, r)
		}
	}
	for _, k := range s.o.Kinds {
		if b, ok := s.boxOfKind(o.wildcard, k); ok && !k.Minor {
			o.any = append(o.any, b)
		}
	}
	if rest, ok := s.boxOfRest(o.wildcard); ok {
		o.any = append(o.any, rest)
	}
	opened := scope.Set{Resources: o.wildcard}
	for _, r := range asked.Resources {
		if opened.Includes(r) || o.join(r) {
			continue
		}
		i := slices.IndexFunc(o.boxes, func(b box) bool { return b.typ == r.Type && sameFilter(b.whole[0], r) })
		if i < 0 {
			o.boxes = append(o.boxes, box{value: r.String(), typ: r.Type})
			i = len(o.boxes) - 1
		}
		o.boxes[i].whole = append(o.boxes[i].whole, r)
	}
	for i := range o.boxes {
		o.boxes[i].parts = s.piecesOf(o.boxes[i])
	}
	for i := range o.any {
		if !o.any[i].isRest() {
			o.any[i].parts = s.piecesOf(o.any[i])
		}
	}
	return o
}

// join puts a scope for a whole type into the box that a wildcard of another
// level makes for it: both open the same, so they are one thing to decide.
func (o *offer) join(r scope.Resource) bool {
	i := slices.IndexFunc(o.any, func(b box) bool { return b.typ == r.Type && !b.isRest() })
	if i < 0 || len(r.Filter) > 0 || r.Type == scope.AnyType {
		return false
	}
	o.any[i].whole = append(o.any[i].whole, r)
	o.joined = append(o.joined, r)
	return true
}

func sameFilter(a, b scope.Resource) bool { return slices.Equal(a.Filter, b.Filter) }

func (s *Server) boxOfKind(wildcard []scope.Resource, k Kind) (box, bool) {
	b := box{typ: k.Type}
	for _, w := range wildcard {
		if r, ok := ofType(w, k.Type); ok {
			b.whole = append(b.whole, r)
		}
	}
	if len(b.whole) == 0 {
		return box{}, false
	}
	b.value = b.whole[0].String()
	return b, true
}

func (s *Server) boxOfRest(wildcard []scope.Resource) (box, bool) {
	if len(wildcard) == 0 {
		return box{}, false
	}
	b := box{value: wildcard[0].String(), typ: scope.AnyType}
	for _, k := range s.o.Kinds {
		if !k.Minor {
			continue
		}
		if minor, ok := s.boxOfKind(wildcard, k); ok {
			b.rest = append(b.rest, minor.whole...)
		}
	}
	return b, true
}

// piecesOf gives the sub-categories of a box for a whole type.
func (s *Server) piecesOf(b box) []piece {
	kind := s.kind(b.typ)
	if !kind.Choosable || len(b.whole[0].Filter) > 0 {
		return nil
	}
	var out []piece
	for _, p := range kind.Parts {
		var one piece
		for _, r := range b.whole {
			if narrow, ok := part(r, p); ok && !slices.ContainsFunc(one.narrow, func(have scope.Resource) bool { return have.String() == narrow.String() }) {
				one.narrow = append(one.narrow, narrow)
			}
		}
		if len(one.narrow) > 0 {
			one.value = one.narrow[0].String()
			out = append(out, one)
		}
	}
	return out
}

// ticked is what a form says.
type ticked struct{ scopes, parts []string }

// resources gives the scopes that a form means. A box whose parts are not all
// ticked is granted as those parts and never as the whole type beside them.
func (o offer) resources(t ticked) []scope.Resource {
	var out []scope.Resource
	for _, b := range o.boxes {
		got, _ := b.take(t)
		out = append(out, got...)
	}
	if len(o.wildcard) == 0 {
		return out
	}
	var narrowed []scope.Resource
	everything := true
	for _, b := range o.any {
		got, whole := b.take(t)
		everything = everything && whole
		narrowed = append(narrowed, got...)
	}
	if everything {
		return append(append(out, o.wildcard...), o.joined...)
	}
	return append(out, narrowed...)
}

// take gives what a box means and whether it is ticked with all that is in it.
func (b box) take(t ticked) (got []scope.Resource, whole bool) {
	if !slices.Contains(t.scopes, b.value) {
		return nil, false
	}
	if b.isRest() {
		return b.rest, true
	}
	chosen := 0
	for _, p := range b.parts {
		if slices.Contains(t.parts, p.value) {
			chosen++
			got = append(got, p.narrow...)
		}
	}
	if chosen == len(b.parts) {
		return b.whole, true
	}
	return got, false
}

// isRest: the line for what a wildcard opens beside the kinds that are shown.
func (b box) isRest() bool { return b.typ == scope.AnyType && len(b.whole) == 0 }

// offers tells whether everything in a form was on the page. What was not was
// put there by somebody else.
func (o offer) offers(t ticked, others []string) bool {
	values, parts := slices.Clone(others), []string{}
	for _, b := range slices.Concat(o.boxes, o.any) {
		values = append(values, b.value)
		for _, p := range b.parts {
			parts = append(parts, p.value)
		}
	}
	unknown := func(in []string) func(string) bool {
		return func(v string) bool { return !slices.Contains(in, v) }
	}
	return !slices.ContainsFunc(t.scopes, unknown(values)) && !slices.ContainsFunc(t.parts, unknown(parts))
}

// views draws the offer: identity and context scopes first.
func (o offer) views(others []string) []ScopeView {
	var out []ScopeView
	for _, name := range others {
		out = append(out, ScopeView{Value: name, Required: !optional(name)})
	}
	for _, b := range slices.Concat(o.boxes, o.any) {
		view := ScopeView{Value: b.value, Type: b.typ, Rest: b.isRest()}
		opens := b.whole
		if b.isRest() {
			opens = o.wildcard
		}
		for _, r := range opens {
			view.Read = view.Read || r.Access&scope.ReadSearch != 0
			view.Write = view.Write || r.Access&scope.Write != 0
		}
		for _, p := range b.parts {
			view.Parts = append(view.Parts, PartView{Value: p.value})
		}
		out = append(out, view)
	}
	return out
}

// optional tells which scopes beside those for records a person may refuse: an
// app that stays connected is one more thing that is shared.
func optional(name string) bool {
	return name == scope.OfflineAccess || name == scope.OnlineAccess
}
