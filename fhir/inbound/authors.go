package inbound

// rules are the types that a patient app may write where a source's policy says
// so, in alphabetical order, with the elements that say who wrote or said it.
// Taken from the R4 (4.0.1) definitions (CC0): elements of type Reference whose
// meaning is author, asserter, recorder, requester, sender, source, performer of
// what is stated, or who vouches for it. By is the part of the element's targets
// that may be a person who uses an app. A type without a line is not written.
var rules = []rule{
	{typ: "AdverseEvent", authors: []Author{{Path: "recorder", By: patients}, {Path: "contributor"}}},
	{typ: "AllergyIntolerance", authors: []Author{{Path: "recorder", By: patients}, {Path: "asserter", By: patients}}},
	{typ: "Appointment", seats: &Seats{Path: "participant", Who: "actor", Says: "status", Open: "needs-action"}},
	{typ: "AppointmentResponse", authors: []Author{{Path: "actor", By: patientAlone}}},
	{typ: "Basic", authors: []Author{{Path: "author", By: patients}}},
	{typ: "CarePlan", authors: []Author{{Path: "author", By: patients}, {Path: "contributor"}, {Path: "activity.detail.performer"}}},
	{typ: "Communication", authors: []Author{{Path: "sender", By: patients}}},
	{typ: "CommunicationRequest", authors: []Author{{Path: "requester", By: patients}, {Path: "sender"}}},
	{typ: "Composition", authors: []Author{{Path: "author", By: patients, List: true}, {Path: "attester.party"}, {Path: "custodian"}, {Path: "section.author"}}},
	{typ: "Condition", authors: []Author{{Path: "recorder", By: patients}, {Path: "asserter", By: patients}}},
	{typ: "DeviceRequest", authors: []Author{{Path: "requester", By: []string{"Practitioner"}}}},
	{typ: "DeviceUseStatement", authors: []Author{{Path: "source", By: patients}}},
	{typ: "DiagnosticReport", authors: []Author{{Path: "performer"}, {Path: "resultsInterpreter"}}},
	{typ: "DocumentReference", authors: []Author{{Path: "author", By: patients, List: true}, {Path: "authenticator"}, {Path: "custodian"}}},
	{typ: "FamilyMemberHistory"},
	{typ: "Flag", authors: []Author{{Path: "author", By: patientAlone}}},
	{typ: "Goal", authors: []Author{{Path: "expressedBy", By: patients}}},
	{typ: "Immunization", authors: []Author{{Path: "performer.actor"}}},
	{typ: "List", authors: []Author{{Path: "source", By: patientAlone}}},
	{typ: "Media", authors: []Author{{Path: "operator", By: patients}}},
	{typ: "MedicationRequest", authors: []Author{{Path: "requester", By: patients}, {Path: "recorder"}, {Path: "reportedReference"}}},
	{typ: "MedicationStatement", authors: []Author{{Path: "informationSource", By: patients}}},
	{typ: "Observation", authors: []Author{{Path: "performer", By: patients, List: true}}},
	{typ: "Procedure", authors: []Author{{Path: "recorder", By: patients}, {Path: "asserter", By: patients}}},
	{typ: "QuestionnaireResponse", authors: []Author{{Path: "author", By: patients}, {Path: "source", By: patients}}},
	{typ: "ServiceRequest", authors: []Author{{Path: "requester", By: patients}}},
	{typ: "Task", authors: []Author{{Path: "requester", By: patients}}},
}

var (
	patients     = []string{"Patient", "RelatedPerson", "Practitioner"}
	patientAlone = []string{"Patient", "Practitioner"}
)
