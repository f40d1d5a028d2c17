package records

import (
	"fmt"
	"time"
)

// chart writes the resources of one unit of the set: a patient, a clinic or the
// shared directory. Every resource goes through add, so that id, meta and
// Provenance are in one place.
type chart struct {
	world   *world
	prefix  string // of the ids; "" for the directory
	out     [][]byte
	scratch []byte
	numbers map[string]int
	sources []source // what Provenance has to tell about
}

// source remembers one resource until its Provenance is written.
type source struct {
	group, reference string
	at               time.Time
	author           reference
}

// entry is a resource about to be written.
type entry struct {
	typ, id string
	profile string    // name of a US Core profile, "" for none
	at      time.Time // when it was last changed
	version int       // 0 counts as 1
	group   string    // resources with one group share a Provenance; "" means typ
	author  reference // who is said to have written it
	label   string    // of v3-ActCode, for what is sensitive; "" for none
}

// id numbers a resource within its unit: p-00001-lab-12.
func (c *chart) id(kind string) string {
	if c.numbers == nil {
		c.numbers = map[string]int{}
	}
	c.numbers[kind]++
	return fmt.Sprintf("%s%s-%d", c.prefix, kind, c.numbers[kind])
}

// add writes one resource and remembers it for its Provenance.
func (c *chart) add(e entry, body obj) {
	if e.at.IsZero() || e.at.After(c.world.today) {
		e.at = c.world.today.Add(-6 * time.Hour)
	}
	meta := obj{{"versionId", fmt.Sprint(max(1, e.version))}, {"lastUpdated", updated(e.at)}}
	if e.profile != "" {
		meta = append(meta, field{"profile", list{usCore + e.profile}})
	}
	if e.label != "" {
		meta = append(meta, field{"security", list{code{terminology + "v3-ActCode", e.label, ""}.coding()}})
	}
	full := make(obj, 0, len(body)+3)
	full = append(full, field{"resourceType", e.typ}, field{"id", e.id}, field{"meta", meta})
	full = append(full, body...)
	c.scratch = full.appendTo(c.scratch[:0])
	c.out = append(c.out, append(make([]byte, 0, len(c.scratch)), c.scratch...))
	if e.typ == "Provenance" {
		return
	}
	group := e.group
	switch e.typ {
	case "Account", "Claim", "ExplanationOfBenefit", "Invoice":
		group = "billing"
	case "Flag", "List", "Consent", "Task", "CommunicationRequest":
		group = "administration"
	}
	if group == "" {
		group = e.typ
	}
	c.sources = append(c.sources, source{group, e.typ + "/" + e.id, e.at, e.author})
}

// targetsEach bounds one Provenance; an EHR writes one per batch of entries.
const targetsEach = 60

// provenance says of everything written so far who wrote it and who passed it
// on. Resources of one Provenance are of one type and category, so that whoever
// may read one of them may as a rule read them all; only billing and
// administration, which no US Core profile covers, are told of together.
func (c *chart) provenance() {
	var order []string
	groups := map[string][]source{}
	for _, s := range c.sources {
		if groups[s.group] == nil {
			order = append(order, s.group)
		}
		groups[s.group] = append(groups[s.group], s)
	}
	for _, key := range order {
		for rest := groups[key]; len(rest) > 0; {
			n := min(targetsEach, len(rest))
			c.provenanceOf(rest[:n])
			rest = rest[n:]
		}
	}
	c.sources = nil
}

func (c *chart) provenanceOf(sources []source) {
	targets, recorded := make(list, 0, len(sources)), time.Time{}
	for _, s := range sources {
		targets = append(targets, obj{{"reference", s.reference}})
		if s.at.After(recorded) {
			recorded = s.at
		}
	}
	id := c.id("prov")
	c.add(entry{typ: "Provenance", id: id, profile: "us-core-provenance", at: recorded}, obj{
		{"target", targets},
		{"recorded", updated(recorded)},
		{"agent", append(authors(sources), agent(usCodes+"us-core-provenance-participant-type", "transmitter", transmitter))},
	})
}

// authors names everybody who wrote one of the sources, once.
func authors(sources []source) list {
	var out list
	seen := map[reference]bool{}
	for _, s := range sources {
		who := s.author
		if who.target == "" {
			who = healthSystem
		}
		if !seen[who] {
			seen[who] = true
			out = append(out, agent(terminology+"provenance-participant-type", "author", who))
		}
	}
	return out
}

// agent acts on behalf of the health system, unless it is the system itself:
// US Core asks for onBehalfOf wherever a practitioner or a device acts.
func agent(system, role string, who reference) obj {
	out := obj{{"type", code{system, role, ""}.concept()}, {"who", who.bare()}}
	if who != healthSystem {
		out = append(out, field{"onBehalfOf", healthSystem.bare()})
	}
	return out
}
