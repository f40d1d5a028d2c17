// Package scope owns SMART scopes: their grammar (v1 and v2 with granular
// parameters), set inclusion and the question "does this set allow that". It
// knows neither clients nor patients nor records.
package scope

// Level is the left part of a resource scope.
type Level string

// The levels of SMART App Launch 2.2, section "Scopes for requesting FHIR resources".
const (
	Patient Level = "patient"
	User    Level = "user"
	System  Level = "system"
)

// Access is a set of the v2 letters c r u d s.
type Access uint8

// The letters, in the order the grammar demands.
const (
	Create Access = 1 << iota
	Read
	Update
	Delete
	Search
)

// Resource is one resource scope: level/Type.access[?name=value&…].
type Resource struct {
	Level  Level
	Type   string // resource type or "*"
	Access Access
	Filter []Param // granular constraints, all of which must hold; nil: the whole type
	text   string  // as it was written, so that it is granted verbatim
}

// Param is one granular constraint, e.g. category=system|code.
type Param struct{ Name, Value string }
