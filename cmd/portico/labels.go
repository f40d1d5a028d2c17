package main

import (
	"fmt"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir/sensitivity"
)

// labelSets are the names that the configuration may use for labels.
func labelSets() []string {
	var out []string
	for _, s := range sensitivity.Sets() {
		out = append(out, s.Name)
	}
	return out
}

// labels are what a source withholds as sensitive.
func labels(rules []config.Sensitivity) (sensitivity.Labels, error) {
	var out sensitivity.Labels
	for _, r := range rules {
		rule := sensitivity.Rule{System: r.System, Codes: r.Codes, Action: sensitivity.Withhold}
		if r.Set != "" {
			set, known := sensitivity.Named(r.Set)
			if !known {
				return nil, fmt.Errorf("sensitivity: there is no set %s", r.Set)
			}
			rule.System, rule.Codes = set.System, set.Codes
		}
		if r.Action == config.ActionTell {
			rule.Action = sensitivity.Tell
		}
		out = append(out, rule)
	}
	return out, nil
}
