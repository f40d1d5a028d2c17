// Package scope owns SMART scopes: their grammar (v1 and v2 with granular
// parameters), set inclusion and the question "does this set allow that". It
// knows neither clients nor patients nor records; whether a resource type or a
// search parameter exists is its caller's to say.
package scope

import (
	"slices"
	"strings"
)

// Level is the left part of a resource scope.
type Level string

// The levels of SMART App Launch 2.2, section "Scopes for requesting FHIR resources".
const (
	Patient Level = "patient"
	User    Level = "user"
	System  Level = "system"
)

// The identity and context scopes of SMART App Launch 2.2.
const (
	OpenID          = "openid"
	FHIRUser        = "fhirUser"
	Profile         = "profile"
	Launch          = "launch"
	LaunchPatient   = "launch/patient"
	LaunchEncounter = "launch/encounter"
	OnlineAccess    = "online_access"
	OfflineAccess   = "offline_access"
)

// AnyType is the wildcard in place of a resource type.
const AnyType = "*"

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

// What the v1 words stand for (SMART App Launch 2.2, "Scopes for requesting
// FHIR resources", compatibility with v1).
const (
	ReadSearch Access = Read | Search            // .read
	Write      Access = Create | Update | Delete // .write
	All        Access = ReadSearch | Write       // .*
)

const letters = "cruds"

// String gives the letters in order.
func (a Access) String() string {
	var b strings.Builder
	for i := range len(letters) {
		if a&(1<<i) != 0 {
			b.WriteByte(letters[i])
		}
	}
	return b.String()
}

// Param is one granular constraint, e.g. category=system|code. Both parts are
// decoded.
type Param struct{ Name, Value string }

// Resource is one resource scope: level/Type.access[?name=value&…].
type Resource struct {
	Level  Level
	Type   string // resource type or "*"
	Access Access
	Filter []Param // granular constraints, all of which must hold; nil: the whole type
	text   string  // as it was written, so that it is granted verbatim; "": print it
}

// Includes tells whether everything that o allows, r allows too. When in doubt
// it does not: a code without a system, say, is not known to lie in a system.
func (r Resource) Includes(o Resource) bool {
	if r.Level != o.Level || o.Access&^r.Access != 0 {
		return false
	}
	if r.Type != o.Type && r.Type != AnyType {
		return false
	}
	// Each of r's constraints must follow from one of o's.
	return !slices.ContainsFunc(r.Filter, func(p Param) bool {
		return !slices.ContainsFunc(o.Filter, p.follows)
	})
}

// follows tells whether p holds wherever q holds: q names no alternative that p
// does not (a comma means "or" in FHIR search). With a modifier, such as :not,
// fewer alternatives may hold for more, so nothing but the same follows.
func (p Param) follows(q Param) bool {
	if p.Name != q.Name || strings.Contains(p.Name, ":") {
		return p == q
	}
	have := alternatives(p.Value)
	for _, v := range alternatives(q.Value) {
		if !slices.Contains(have, v) {
			return false
		}
	}
	return true
}

// alternatives splits a value at its commas; \, is a comma in a value (FHIR R4
// search, "Escaping Search Parameters").
func alternatives(value string) []string {
	var out []string
	start := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case ',':
			out = append(out, value[start:i])
			start = i + 1
		}
	}
	return append(out, value[start:])
}

// Narrow gives r with no more than the letters of a. What remains is written in
// the syntax r was written in, r's own text when nothing was taken away; v1
// words can say read, write and all only, so r is split no finer than that. It
// reports false when nothing remains.
func (r Resource) Narrow(a Access) (Resource, bool) {
	left := r.Access & a
	switch {
	case left == 0:
		return Resource{}, false
	case left == r.Access:
		return r, true
	}
	v1 := isV1(r.text)
	r.Access, r.text = left, ""
	if word := v1Word(left); v1 && word != "" {
		r.text = string(r.Level) + "/" + r.Type + "." + word
	}
	return r, true
}

// String gives r as it was written, or prints it in v2 syntax.
func (r Resource) String() string {
	if r.text != "" {
		return r.text
	}
	var b strings.Builder
	b.WriteString(string(r.Level) + "/" + r.Type + "." + r.Access.String())
	for i, p := range r.Filter {
		if i == 0 {
			b.WriteByte('?')
		} else {
			b.WriteByte('&')
		}
		b.WriteString(escape(p.Name) + "=" + escape(p.Value))
	}
	return b.String()
}

// Set is a set of scopes.
type Set struct {
	Others    []string   // identity and context scopes, as first written
	Resources []Resource // resource scopes, as first written
}

// Has tells whether an identity or context scope is in the set.
func (s Set) Has(name string) bool { return slices.Contains(s.Others, name) }

// Empty tells whether there is nothing in the set.
func (s Set) Empty() bool { return len(s.Others) == 0 && len(s.Resources) == 0 }

// Allows tells whether the set allows all of a on a type: of the whole type or,
// when a scope is granular, of some of it. Which, Covering says.
func (s Set) Allows(l Level, typ string, a Access) bool {
	if a == 0 {
		return false
	}
	for _, letter := range a.each() {
		if len(s.Covering(l, typ, letter)) == 0 {
			return false
		}
	}
	return true
}

// Covering gives the scopes that allow all of a on a type, granular ones too.
// What they allow together is the union of what each allows.
func (s Set) Covering(l Level, typ string, a Access) []Resource {
	var out []Resource
	for _, r := range s.Resources {
		if a != 0 && r.Level == l && (r.Type == typ || r.Type == AnyType) && r.Access&a == a {
			out = append(out, r)
		}
	}
	return out
}

// Includes tells whether everything that o allows, the set allows too; .r and
// .s together include .rs.
func (s Set) Includes(o Resource) bool {
	if o.Access == 0 {
		return false
	}
	for _, letter := range o.Access.each() {
		part := o
		part.Access = letter
		if !slices.ContainsFunc(s.Resources, func(r Resource) bool { return r.Includes(part) }) {
			return false
		}
	}
	return true
}

// String gives the scopes separated by spaces: identity and context scopes
// first, each as it was written.
func (s Set) String() string {
	words := slices.Clone(s.Others)
	for _, r := range s.Resources {
		words = append(words, r.String())
	}
	return strings.Join(words, " ")
}

// each gives the letters one by one.
func (a Access) each() []Access {
	var out []Access
	for i := range len(letters) {
		if l := Access(1) << i; a&l != 0 {
			out = append(out, l)
		}
	}
	return out
}
