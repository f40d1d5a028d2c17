package changes

import (
	"bytes"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/internal/fault"
)

// maxPatients is how many one notification may name before it counts as one
// about everybody.
const maxPatients = 200

// concern collects the patients whose records changed.
type concern struct {
	base     fhir.Base
	patients map[string]bool
	all      bool
}

// list gives the patients' ids; "" alone stands for everybody.
func (c *concern) list() []string {
	if c.all || len(c.patients) > maxPatients {
		return []string{""}
	}
	out := make([]string, 0, len(c.patients))
	for id := range c.patients {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// concerned says whose records a notification says have changed. With an error
// it still does, as far as can be: what is not understood may concern anybody.
func (s source) concerned(body []byte) ([]string, error) {
	everybody := []string{""}
	if len(bytes.TrimSpace(body)) == 0 {
		return everybody, nil // a rest-hook without payload
	}
	if len(body) > MaxBody {
		return everybody, fault.New(fault.TooLarge, "The notification is too large.")
	}
	r, err := fhir.ParseResource(body)
	if err != nil {
		return everybody, fault.New(fault.Invalid, "The body is not one FHIR resource in well-formed JSON.")
	}
	c := &concern{base: s.Base, patients: map[string]bool{}}
	if r.Type() == "Bundle" {
		c.bundle(r)
	} else {
		c.resource(r)
	}
	return c.list(), nil
}

// bundle reads a notification of a topic: SubscriptionStatus, or in R4 the
// Parameters that stand for it, in the first entry. Another Bundle is what it
// holds.
func (c *concern) bundle(r *fhir.Resource) {
	seen := 0
	given := map[string]*fhir.Resource{}
	var status *fhir.Resource
	for entry := range r.Root().At("entry") {
		seen++
		one, err := fhir.ParseResource(entry.Get("resource").Raw())
		switch {
		case err != nil:
		case seen == 1 && (one.Type() == "SubscriptionStatus" || one.Type() == "Parameters"):
			status = one
		default:
			given[one.Type()+"/"+one.ID()] = one
		}
		if err != nil && entry.Get("resource").Exists() {
			c.all = true // there, and cannot be read
		}
	}
	if status == nil {
		for _, one := range given {
			c.resource(one)
		}
		c.all = c.all || len(given) == 0 || len(given) < seen
		return
	}
	kind, focus := event(status)
	switch kind {
	case "handshake", "heartbeat", "query-status":
		c.all = false
		return
	case "event-notification", "query-event":
	default:
		c.all = true
		return
	}
	c.all = c.all || len(focus) == 0
	for _, reference := range focus {
		c.focus(reference, given)
	}
}

// event reads the type of a notification and what it is about (Subscriptions R5
// Backport, "SubscriptionStatus in R4" and R4B).
func event(status *fhir.Resource) (kind string, focus []string) {
	root := status.Root()
	if status.Type() == "SubscriptionStatus" {
		for f := range root.At("notificationEvent", "focus") {
			focus = append(focus, f.Get("reference").Text())
		}
		return root.Get("type").Text(), focus
	}
	for p := range root.At("parameter") {
		switch p.Get("name").Text() {
		case "type":
			kind = p.Get("valueCode").Text()
		case "notification-event":
			for part := range p.At("part") {
				if part.Get("name").Text() == "focus" {
					focus = append(focus, part.Get("valueReference").Get("reference").Text())
				}
			}
		}
	}
	return kind, focus
}

// focus is one resource that changed, given in the Bundle or only named.
func (c *concern) focus(reference string, given map[string]*fhir.Resource) {
	to := c.base.Resolve(reference)
	switch one := given[to.Type+"/"+to.ID]; {
	case to.Where == fhir.Local && to.Type == "Patient":
		c.patients[to.ID] = true
		if one != nil {
			c.resource(one)
		}
	case to.Where == fhir.Local && one != nil:
		c.resource(one)
	default:
		c.all = true
	}
}

// resource applies the owner rule: all patients whom the elements name that
// decide. One that is nobody's, or anybody's, is in everybody's answers.
func (c *concern) resource(r *fhir.Resource) {
	rule := compartment.Of(r.Type())
	switch rule.Class {
	case compartment.Self:
		if r.ID() == "" {
			c.all = true
			return
		}
		c.patients[r.ID()] = true
		c.named(r, []string{"link.other"})
	case compartment.Own, compartment.Shared:
		if !c.named(r, append(slices.Clone(rule.Owners), rule.Participants...)) {
			c.all = true
		}
	default:
		c.all = true
	}
}

// named collects the patients at the paths, and says whether there are any.
func (c *concern) named(r *fhir.Resource, paths []string) bool {
	found := false
	for _, path := range paths {
		for ref := range r.Root().At(strings.Split(path, ".")...) {
			to := c.base.Resolve(ref.Get("reference").Text())
			switch {
			case to.Where == fhir.Local && to.Type == "Patient":
				found = true
				c.patients[to.ID] = true
			case to.Where == fhir.Local && to.Type != "Group":
			default:
				c.all = true // names somebody, and not in a way that tells whom
			}
		}
	}
	return found
}
