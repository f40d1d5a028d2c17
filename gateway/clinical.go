package gateway

import (
	"slices"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/fault"
)

// clinicalDates are the search parameters that say when the care was that a
// resource is about: of several, the first that it has. Types that are not here
// tell of no time of care; whose record it is, who pays for it.
func clinicalDates(typ string) []string {
	switch typ {
	case "AdverseEvent", "Appointment", "CarePlan", "CareTeam", "ClinicalImpression", "DiagnosticReport", "Encounter", "EpisodeOfCare",
		"FamilyMemberHistory", "Flag", "Immunization", "ImmunizationEvaluation", "ImmunizationRecommendation", "Invoice", "List",
		"Observation", "Procedure", "ResearchSubject", "RiskAssessment", "SupplyRequest":
		return []string{"date"}
	case "Composition", "Consent", "DocumentReference", "MeasureReport":
		return []string{"period", "date"}
	case "Claim", "ClaimResponse", "CoverageEligibilityRequest", "CoverageEligibilityResponse", "DocumentManifest", "ExplanationOfBenefit",
		"Media", "PaymentNotice", "PaymentReconciliation":
		return []string{"created"}
	case "CommunicationRequest", "ServiceRequest":
		return []string{"occurrence", "authored"}
	case "QuestionnaireResponse", "RequestGroup":
		return []string{"authored"}
	}
	return map[string][]string{
		"Account":                  {"period"},
		"AllergyIntolerance":       {"onset", "date"},
		"ChargeItem":               {"occurrence", "entered-date"},
		"Communication":            {"sent", "received"},
		"Condition":                {"onset-date", "recorded-date"},
		"DetectedIssue":            {"identified"},
		"DeviceRequest":            {"event-date", "authored-on"},
		"Goal":                     {"start-date", "target-date"},
		"ImagingStudy":             {"started"},
		"MedicationAdministration": {"effective-time"},
		"MedicationDispense":       {"whenhandedover", "whenprepared"},
		"MedicationRequest":        {"authoredon"},
		"MedicationStatement":      {"effective"},
		"NutritionOrder":           {"datetime"},
		"Provenance":               {"when", "recorded"},
		"Specimen":                 {"collected"},
		"Task":                     {"period", "authored-on"},
		"VisionPrescription":       {"datewritten"},
	}[typ]
}

// between keeps what tells of care from start to end, both of which may be
// missing. What has no date is kept: nobody can tell that it is not meant.
func (x *exchange) between(start, end string) error {
	if start == "" && end == "" {
		return nil
	}
	filters := map[string][]dated{}
	for _, ask := range x.asks {
		for _, name := range clinicalDates(ask.Type) {
			one, err := x.within(ask.Type, name, start, end)
			if err != nil {
				return err
			}
			filters[ask.Type] = append(filters[ask.Type], one)
		}
	}
	if _, err := x.within("Observation", "date", start, end); err != nil { // when no type is dated
		return err
	}
	x.also = func(r *fhir.Resource) bool {
		for _, one := range filters[r.Type()] {
			for range one.by.Values(r) {
				return one.holds(r)
			}
		}
		return true
	}
	return nil
}

// dated is a stretch of time to which a parameter is held: of each pair the
// first must match, or the second must not. ge alone leaves out what ends on the
// very day that begins the stretch (R4 search, 3.1.1.4.5).
type dated struct {
	by    search.Definition
	pairs [][2]*search.Filter
}

func (d dated) holds(r *fhir.Resource) bool {
	for _, pair := range d.pairs {
		within, err := pair[0].Match(r)
		outside, failed := pair[1].Match(r)
		if err != nil || failed != nil || !within && outside {
			return false
		}
	}
	return true
}

func (x *exchange) within(typ, name, start, end string) (dated, error) {
	var out dated
	for _, bound := range []struct{ within, outside, value string }{{"ge", "eb", start}, {"le", "sa", end}} {
		if bound.value == "" {
			continue
		}
		var pair [2]*search.Filter
		for i, prefix := range []string{bound.within, bound.outside} {
			q, err := search.Parse(typ, []search.Pair{{Name: name, Value: prefix + bound.value}}, search.Options{Strict: true})
			if err != nil || len(q.Params) != 1 {
				return out, fault.New(fault.Invalid, "start and end take a date or a time.")
			}
			out.by = q.Params[0].Definition
			if pair[i], err = (search.Matcher{Base: x.who.Base, Now: x.who.Now}).Compile(q); err != nil {
				return out, searchFault(err)
			}
		}
		out.pairs = append(out.pairs, pair)
	}
	return out, nil
}

// when gives the time of care that a resource tells of, the latest if there are
// several; the zero time when there is none.
func when(r *fhir.Resource, names ...string) time.Time {
	for _, name := range names {
		d, known := search.Lookup(r.Type(), name)
		if !known {
			continue
		}
		var latest time.Time
		for v := range d.Values(r) {
			v.Descend(func(n fhir.Node) {
				if at := timeOf(n.Text()); at.After(latest) {
					latest = at
				}
			})
		}
		if !latest.IsZero() {
			return latest
		}
	}
	return time.Time{}
}

func timeOf(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02", "2006-01", "2006"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	return time.Time{}
}

// newestFirst sorts what is kept; what has no time comes last. Of the same time
// the order stays.
func newestFirst(all []kept, names ...string) {
	slices.SortStableFunc(all, func(a, b kept) int { return when(b.resource, names...).Compare(when(a.resource, names...)) })
}
