package config

import (
	"slices"
	"strings"
)

// Sensitivity says what is done with resources that carry a label: one of a
// named set, or one of some codes.
type Sensitivity struct {
	Set    string   `yaml:"set"`
	System string   `yaml:"system"`
	Codes  []string `yaml:"codes"`
	Action string   `yaml:"action"`
}

// What is done with a resource that carries a listed label.
const (
	ActionWithhold = "withhold"
	ActionTell     = "tell"
)

// checkSensitivity judges the labels that keep resources from apps. A rule that
// means nothing would look like one that protects.
func checkSensitivity(r *report, key string, rules []Sensitivity) {
	for i, rule := range rules {
		at := item(key, i)
		oneOf(r, at+".action", rule.Action, ActionWithhold, ActionTell)
		switch {
		case rule.Set != "" && (rule.System != "" || len(rule.Codes) > 0):
			r.add(at+".set", "does not go with system and codes; write two rules")
		case rule.Set != "" && r.more.SensitivitySets != nil && !slices.Contains(r.more.SensitivitySets, rule.Set):
			r.add(at+".set", "there is no such set; there are %s", strings.Join(r.more.SensitivitySets, ", "))
		case rule.Set != "":
		case rule.System == "" && len(rule.Codes) == 0:
			r.add(at, "says of no label; give a set, or system and codes")
		case rule.System == "":
			r.add(at+".system", "is missing; give the code system of the codes, such as http://terminology.hl7.org/CodeSystem/v3-Confidentiality")
		case len(rule.Codes) == 0:
			r.add(at+".codes", "is missing; list the codes of the labels, such as [R, V]")
		}
		for j, c := range rule.Codes {
			if c != "" && (strings.ContainsAny(c, " |,") || slices.Contains(rule.Codes[:j], c)) {
				r.add(item(at+".codes", j), "must be one code, once; write one line for each")
			}
		}
	}
}
