package search

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/portico-fhir/portico/fhir"
)

// This file is what an app may ask, as closed lists: a name, modifier or pair
// that is not listed is refused (docs/pitfalls.md 1, 2, 6, 7, 8, 10, 12, 13, 14).

// Error says why a query is refused. It names parameters, never their values:
// a value can be a patient's name.
type Error struct {
	Param   string // the parameter, "" when the query as a whole is meant
	Reason  string // for the client's developer
	Unknown bool   // there is no such parameter, rather than a wrong use of one
}

// Error gives the parameter and the reason.
func (e *Error) Error() string {
	if e.Param == "" {
		return "search: " + e.Reason
	}
	return fmt.Sprintf("search: parameter %q: %s", e.Param, e.Reason)
}

var (
	nameForm  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_\-]{0,63}$`)
	printForm = regexp.MustCompile(`^[A-Za-z0-9_.:\-]{1,64}$`)
)

// printable gives a name that may stand in an error or a log, or "".
func printable(name string) string {
	if !printForm.MatchString(name) {
		return ""
	}
	return name
}

// never are the parameters of R4 search that reach beyond the resource searched,
// or that nobody can check an answer against.
var never = map[string]string{
	"_has":           "reverse chaining is not supported",
	"_filter":        "_filter is not supported",
	"_query":         "named queries are not supported",
	"_text":          "search in the narrative is not supported",
	"_content":       "search in the whole content is not supported",
	"_list":          "search by list is not supported",
	"_contained":     "search for contained resources is not supported",
	"_containedType": "search for contained resources is not supported",
	"_type":          "search over several types is not supported",
}

// modifiers are those that may be used with each kind of parameter, beside a
// resource type with a reference. Those that need terminology (:in, :not-in,
// :above and :below of tokens) cannot be checked, so nobody may use them.
var modifiers = map[Kind][]string{
	Number:    {"missing"},
	Date:      {"missing"},
	Quantity:  {"missing"},
	String:    {"exact", "contains", "missing"},
	Token:     {"not", "text", "of-type", "missing"},
	Reference: {"missing"},
	URI:       {"below", "above", "missing"},
}

// allowModifier says whether a modifier may be used. A reference's identifier is
// a logical reference, which proves nothing about whose a resource is: trusted
// callers only (docs/pitfalls.md 13, 22).
func allowModifier(e *entry, modifier string, o Options) bool {
	switch {
	case modifier == "":
		return true
	case e.Compartment && !o.Trusted:
		return false
	case e.Kind == Reference && slices.Contains(e.Targets, modifier):
		return true
	case e.Kind == Reference && modifier == "identifier":
		return o.Trusted
	}
	return slices.Contains(modifiers[e.Kind], modifier)
}

// single says whether a parameter names whose records are searched, so that an
// app may give it one plain value once: the compartment parameters, and _id of
// Patient itself.
func single(d Definition) bool {
	return d.Compartment || d.Type == "Patient" && d.Name == "_id"
}

// checkSingle holds a query to one statement of whose records are searched: no
// lists, no repetition, and no two parameters for the same element, as patient
// and subject are (docs/pitfalls.md 2, 10).
func checkSingle(params []Param) *Error {
	seen := map[string]string{}
	for _, p := range params {
		d := p.Definition
		if !single(d) {
			continue
		}
		if len(p.Values) != 1 {
			return &Error{Param: d.Name, Reason: "takes one value only"}
		}
		for element := range find(d.Type, d.Name).elements() {
			if other, ok := seen[element]; ok {
				return &Error{Param: d.Name, Reason: "says again what " + other + " says; give it once"}
			}
			seen[element] = d.Name
		}
	}
	return nil
}

// checkReference holds an app's reference to ids and Type/id of this server;
// URLs are for canonical references only (docs/pitfalls.md 22).
func checkReference(e *entry, v string) error {
	if e.Kind != Reference || fhir.ValidID(v) {
		return nil
	}
	if (fhir.Base{}).Resolve(v).Where == fhir.Local {
		return nil
	}
	for _, p := range e.paths {
		if p.leaf.name == "canonical" || p.leaf.name == "uri" {
			return nil
		}
	}
	return errReference
}

// revIncludes are the _revinclude pairs an app may use for a type, beside
// Provenance:target, which is allowed for all (US Core 6.1.0).
var revIncludes = map[string][]string{
	"Appointment":          {"AppointmentResponse:appointment", "Encounter:appointment"},
	"CarePlan":             {"ServiceRequest:based-on"},
	"Claim":                {"ClaimResponse:request", "ExplanationOfBenefit:claim"},
	"Communication":        {"Communication:part-of"},
	"CommunicationRequest": {"Communication:based-on"},
	"DiagnosticReport":     {"DocumentReference:related"},
	"Encounter":            {"Condition:encounter", "DiagnosticReport:encounter", "DocumentReference:encounter", "MedicationRequest:encounter", "Observation:encounter", "Procedure:encounter", "ServiceRequest:encounter"},
	"Location":             {"Schedule:actor"},
	"MedicationRequest":    {"MedicationAdministration:request", "MedicationDispense:prescription"},
	"Observation":          {"DiagnosticReport:result", "Observation:derived-from", "Observation:has-member"},
	"Organization":         {"Endpoint:organization", "HealthcareService:organization", "Location:organization", "PractitionerRole:organization"},
	"Practitioner":         {"PractitionerRole:practitioner", "Schedule:actor"},
	"PractitionerRole":     {"Schedule:actor"},
	"HealthcareService":    {"Schedule:actor"},
	"Schedule":             {"Slot:schedule"},
	"ServiceRequest":       {"DiagnosticReport:based-on", "Observation:based-on", "Procedure:based-on", "Task:focus"},
	"Slot":                 {"Appointment:slot"},
	"Task":                 {"Task:part-of"},
}

// iterated are the _include pairs that may be followed from included resources
// too. They lead from directory resources to directory resources, and end.
var iterated = []string{
	"Location:organization", "Medication:manufacturer", "PractitionerRole:location",
	"PractitionerRole:organization", "PractitionerRole:practitioner",
}

// Includes gives the _include pairs an app may use when it searches typ.
func Includes(typ string) []string {
	var out []string
	for _, d := range loaded().sorted[typ] {
		if includable(find(d.Type, d.Name)) {
			out = append(out, d.Type+":"+d.Name)
		}
	}
	return out
}

// RevIncludes gives the _revinclude pairs an app may use when it searches typ.
func RevIncludes(typ string) []string {
	if !IsResourceType(typ) {
		return nil
	}
	out := append([]string{"Provenance:target"}, revIncludes[typ]...)
	slices.Sort(out)
	return out
}

// includable says whether a parameter leads to resources by Reference. What it
// leads to is checked entry by entry when it comes back.
func includable(e *entry) bool {
	if e == nil || e.Kind != Reference || !e.evaluated() {
		return false
	}
	return slices.ContainsFunc(e.paths, func(p path) bool { return p.leaf.name == "Reference" })
}
