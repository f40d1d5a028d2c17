// Package clinical owns the time of care: which dates of a resource say when the
// care was that it tells of, and whether that was in a stretch of time. It must
// not know which operation wants to know, nor for whom.
package clinical

// Dates are the search parameters that say when the care was that a resource of
// a type is about: of several, the first that it has. Types that give none tell
// of no time of care; whose record it is, who pays for it.
func Dates(typ string) []string {
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
