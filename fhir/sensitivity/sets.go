package sensitivity

import "slices"

// The code systems of security labels (R4 security labels, section 6.1.2).
const (
	actCode         = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	confidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
)

// otherNames are further names of the code systems: their OIDs and what they
// were called before R4.
func otherNames(system string) []string {
	switch system {
	case actCode:
		return []string{"urn:oid:2.16.840.1.113883.5.4", "2.16.840.1.113883.5.4", "http://hl7.org/fhir/v3/ActCode"}
	case confidentiality:
		return []string{"urn:oid:2.16.840.1.113883.5.25", "2.16.840.1.113883.5.25", "http://hl7.org/fhir/v3/Confidentiality"}
	}
	return nil
}

// Set is labels under a name that an operator can use.
type Set struct {
	Name   string
	System string
	Codes  []string
}

// Sets gives the named sets. Codes are those of v3-ActCode 9.0.0, below
// InformationSensitivityPolicy and ActUSPrivacyLaw, and of v3-Confidentiality, in
// the package hl7.terminology.r4 7.0.1; which of them go together is ours.
func Sets() []Set {
	return []Set{
		{"42CFRPart2", actCode, []string{"42CFRPart2", "ETH", "SUD", "ETHUD", "OPIOIDUD"}}, // records of treatment for substance use
		{"psychotherapy", actCode, []string{"PSYTHPN", "HIPAAPsyNotes"}},                   // notes kept apart from the record (45 CFR 164.501)
		{"mental-health", actCode, []string{"MH", "PSY", "BH", "COGN", "DVD", "EMOTDIS", "PSYTHPN", "HIPAAPsyNotes"}},
		{"sexual-health", actCode, []string{"SEX", "STD", "HIV", "PREGNANT"}},
		{"hiv", actCode, []string{"HIV"}},
		{"genetic", actCode, []string{"GDIS", "SCA", "SICKLE"}},
		{"violence", actCode, []string{"SDV", "VIO", "MST"}},
		{"adolescent", actCode, []string{"ADOL"}}, // what a minor may keep from a parent
		{"taboo", actCode, []string{"TBOO"}},      // not for the patient before it was talked about
		{"restricted", confidentiality, []string{"R", "V"}},
		{"very-restricted", confidentiality, []string{"V"}},
	}
}

// Named gives a set by its name.
func Named(name string) (Set, bool) {
	sets := Sets()
	i := slices.IndexFunc(sets, func(s Set) bool { return s.Name == name })
	if i < 0 {
		return Set{}, false
	}
	return sets[i], true
}
