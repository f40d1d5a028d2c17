// Package sensitivity owns security labels: which codes of HL7 mark what is
// sensitive, and whether a resource carries one of those that a health system
// has listed. It decides nothing: package guard does, from what it says.
package sensitivity

import (
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// Action is what a label asks for.
type Action uint8

const (
	// Open asks for nothing.
	Open Action = iota
	// Tell withholds, and lets the app know that something was withheld.
	Tell
	// Withhold is as if it were not there.
	Withhold
)

// Rule lists labels of one code system.
type Rule struct {
	System string // canonical; its OID and a missing one count as well
	Codes  []string
	Action Action
}

// Labels are the rules of a health system. The zero value asks for nothing.
type Labels []Rule

// Of gives the strictest action that the labels of a resource ask for: those of
// its meta.security, and of every resource inside it. With rules, what cannot be
// read as a label asks for being withheld.
func (l Labels) Of(r *fhir.Resource) Action {
	asked := Open
	if len(l) == 0 {
		return asked
	}
	r.Root().Descend(func(n fhir.Node) {
		if !n.Named("meta") {
			return
		}
		security := n.Get("security")
		for coding := range security.Items() {
			asked = max(asked, l.of(coding))
		}
	})
	return asked
}

func (l Labels) of(coding fhir.Node) Action {
	system, code := coding.Get("system"), coding.Get("code")
	wrong := system.Exists() && !system.IsString() || code.Exists() && !code.IsString()
	if !coding.IsObject() || wrong {
		return Withhold
	}
	asked := Open
	for _, rule := range l {
		if !sameSystem(system.Text(), rule.System) {
			continue
		}
		for _, c := range rule.Codes {
			if strings.EqualFold(strings.TrimSpace(code.Text()), c) {
				asked = max(asked, rule.Action)
			}
		}
	}
	return asked
}

// sameSystem compares code systems as EHRs write them: with https, with a slash
// or a version at the end, as an OID, or not at all.
func sameSystem(written, canonical string) bool {
	written, _, _ = strings.Cut(strings.TrimSpace(written), "|")
	if written == "" {
		return true
	}
	plain := func(s string) string {
		return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://"), "/"))
	}
	if plain(written) == plain(canonical) {
		return true
	}
	for _, other := range otherNames(canonical) {
		if strings.EqualFold(written, other) {
			return true
		}
	}
	return false
}
