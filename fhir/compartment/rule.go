// Package compartment owns one question: whose is this resource? It holds the
// owner rule of every R4 resource type in one table and applies it to a
// resource. It does no I/O, knows no scopes and does not decide what is
// released: package guard does, from what it says.
package compartment

import "slices"

// Class says how a type's resources come to belong to a patient.
type Class uint8

// The classes. Closed is the zero value on purpose: a type without a rule is
// open to nobody.
const (
	// Closed types are not served to patient apps at all.
	Closed Class = iota
	// Self is Patient: the patient's own id and no other.
	Self
	// Own types have a subject-like element and belong to the patient it names.
	Own
	// Shared types may name several patients; the others are masked inside.
	Shared
	// Directory types describe the health system and nobody's health.
	Directory
	// Through types belong to whoever owns everything they point to.
	Through
	// Reached types are open when something of the patient's own, which the
	// token may read, points to them.
	Reached
)

// Rule is the owner rule of one resource type. Element paths are dotted and go
// through arrays.
type Rule struct {
	Type  string
	Class Class
	// Owners are the subject-like elements. If any of them is present, they
	// alone decide.
	Owners []string
	// Participants decide when no owner element is present.
	Participants []string
	// Through are the references that must all be the patient's own.
	Through []string
	// Narrow are the search parameters that find the patient's resources,
	// the best first: the first that the upstream knows is used.
	Narrow []string
	// Union are further searches whose results are added, where no single
	// parameter finds everything.
	Union []string
	// Anchors are search parameters of which one must be given by the app when
	// Narrow does not apply, so that nobody walks a whole type.
	Anchors []string
	// Pointers are searches that find what points to a Reached resource.
	Pointers []Pointer
}

// Pointer is a search for resources that point to a Reached one. Param "" means
// that no parameter finds them: the patient's resources of the type are read.
type Pointer struct{ Type, Param string }

// Of gives the rule of a resource type. What is no type of R4 is Closed, and has
// a rule without a Type.
func Of(typ string) Rule {
	i, found := slices.BinarySearchFunc(rules, typ, func(r Rule, t string) int {
		switch {
		case r.Type < t:
			return -1
		case r.Type > t:
			return 1
		}
		return 0
	})
	if !found {
		return Rule{}
	}
	return rules[i]
}

// Types gives every type of R4 in alphabetical order.
func Types() []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = r.Type
	}
	return out
}

// Served says whether resources of this class can be served at all.
func (c Class) Served() bool { return c != Closed }

// Searchable says whether a type can be searched at all: without a way to the
// patient's own, or to what points at a resource, it can only be read.
func (r Rule) Searchable() bool {
	return r.Class == Directory || len(r.Narrow) > 0 || len(r.Anchors) > 0
}
