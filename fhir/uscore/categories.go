package uscore

// terminology and core are where the category codes come from.
const (
	terminology = "http://terminology.hl7.org/CodeSystem/"
	core        = "http://hl7.org/fhir/us/core/CodeSystem/"
)

// Categories gives the values of the search parameter category, as
// system|code, by which access to a type may be granted in part. Those of
// Condition and Observation are the ones that 45 CFR 170.315(g)(10) lists
// (certification companion guide: encounter diagnosis, problem list, health
// concern; clinical test, laboratory, social history, SDOH, survey, vital
// signs) with the codes of US Core 6.1.0; beside them are the codes of
// observation-category that records use, so that whoever leaves out one does
// not lose these. The other types' are those of their US Core profiles.
func Categories(typ string) []string {
	switch typ {
	case "Condition":
		return []string{
			terminology + "condition-category|problem-list-item",
			terminology + "condition-category|encounter-diagnosis",
			core + "condition-category|health-concern",
		}
	case "Observation":
		return []string{
			terminology + "observation-category|laboratory",
			terminology + "observation-category|vital-signs",
			terminology + "observation-category|social-history",
			core + "us-core-category|sdoh",
			terminology + "observation-category|survey",
			core + "us-core-observation-category|clinical-test",
			terminology + "observation-category|imaging",
			terminology + "observation-category|exam",
			terminology + "observation-category|procedure",
		}
	case "DiagnosticReport":
		return []string{
			terminology + "v2-0074|LAB",
			"http://loinc.org|LP29684-5", // radiology
			"http://loinc.org|LP29708-2", // cardiology
			"http://loinc.org|LP7839-6",  // pathology
		}
	case "DocumentReference":
		return []string{core + "us-core-documentreference-category|clinical-note"}
	}
	return nil
}
