// Package uscore owns what US Core 6.1.0 asks of a server: types, profiles,
// searches and includes, as tables. It decides nothing and knows no requests.
package uscore

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:embed server.tsv
var serverTable string

// Canonical URLs of US Core (6.1.0).
const (
	Version  = "6.1.0"
	Server   = "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server"
	profiles = "http://hl7.org/fhir/us/core/StructureDefinition/"
)

// Expectation is how strongly something is asked (RFC 2119).
type Expectation string

// The expectations that the tables hold.
const (
	Shall  Expectation = "SHALL"
	Should Expectation = "SHOULD"
	May    Expectation = "MAY"
)

// Search is a combination of search parameters that must work together.
type Search struct {
	Params      []string
	Expectation Expectation
}

type row struct {
	expectation                     Expectation
	profiles, includes, revIncludes []string
	interactions, operations        []string
	searches                        []Search
}

var loaded = sync.OnceValue(func() map[string]row {
	rows := map[string]row{}
	for line := range strings.SplitSeq(serverTable, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		r := row{expectation: Expectation(f[1]), includes: items(f[4]), revIncludes: items(f[5]), interactions: items(f[6]), operations: items(f[7])}
		for _, p := range items(f[2]) {
			if !strings.HasPrefix(p, "http://") {
				p = profiles + p
			}
			r.profiles = append(r.profiles, p)
		}
		for _, s := range items(f[3]) {
			expectation, params, _ := strings.Cut(s, "=")
			r.searches = append(r.searches, Search{strings.Split(params, "+"), Expectation(expectation)})
		}
		rows[f[0]] = r
	}
	return rows
})

func items(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// Types gives the resource types that US Core names, sorted.
func Types() []string {
	var out []string
	for typ := range loaded() {
		out = append(out, typ)
	}
	slices.Sort(out)
	return out
}

// Expected says how strongly a server is to support a type; "" means US Core
// does not name it.
func Expected(typ string) Expectation { return loaded()[typ].expectation }

// Profiles gives the canonical URLs of the profiles of a type.
func Profiles(typ string) []string { return slices.Clone(loaded()[typ].profiles) }

// Searches gives the searches of a type that SHALL or SHOULD work.
func Searches(typ string) []Search {
	out := slices.Clone(loaded()[typ].searches)
	for i := range out {
		out[i].Params = slices.Clone(out[i].Params)
	}
	return out
}

// Includes gives the _include values that are to work when a type is searched.
func Includes(typ string) []string { return slices.Clone(loaded()[typ].includes) }

// RevIncludes gives the _revinclude values likewise.
func RevIncludes(typ string) []string { return slices.Clone(loaded()[typ].revIncludes) }

// Interactions gives the interactions with a type that SHALL work.
func Interactions(typ string) []string { return slices.Clone(loaded()[typ].interactions) }

// Operations gives the operations on a type that SHALL work, without their $.
func Operations(typ string) []string { return slices.Clone(loaded()[typ].operations) }
