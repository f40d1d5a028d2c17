package config

import "slices"

// Write lets apps change resources of one type at a source, where their scopes
// cover it.
type Write struct {
	Type         string   `yaml:"type"`
	Interactions []string `yaml:"interactions"`
}

// WriteInteractions are the ways to change a resource (R4 http, section 3.1.0).
func WriteInteractions() []string { return []string{"create", "update", "patch", "delete"} }

func checkWrites(r *report, list string, writes []Write) {
	first := map[string]int{}
	for i, w := range writes {
		key := item(list, i)
		j, twice := first[w.Type]
		switch {
		case w.Type == "":
			r.add(key+".type", "is missing; name a resource type such as Observation")
		case twice:
			r.add(key+".type", "is that of %s already; put the interactions together", item(list, j))
		case r.more.Writable != nil:
			if err := r.more.Writable(w.Type); err != nil {
				r.add(key+".type", "cannot be written by apps: %v; remove it", err)
			}
		}
		if !twice {
			first[w.Type] = i
		}
		if len(w.Interactions) == 0 {
			r.add(key+".interactions", "is missing; list what apps may do: create, update, patch or delete")
		}
		for n, one := range w.Interactions {
			at := item(key+".interactions", n)
			oneOf(r, at, one, WriteInteractions()...)
			if slices.Contains(w.Interactions[:n], one) {
				r.add(at, "stands there twice; remove one")
			}
		}
	}
}
