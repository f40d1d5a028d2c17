package pages

// words is how one resource type is called in front of a patient.
type words struct {
	group string // key of groupOrder
	label string // what the box says
	hint  string // what is in it, by example
}

// group is a heading of the consent page.
type group struct{ key, icon, title string }

// groupOrder is the order of the headings: what people look for first comes
// first, what is hardly private comes last.
func groupOrder() []group {
	return []group{
		{"all", "all", "Everything"},
		{"you", "you", "About the person"},
		{"tests", "tests", "Tests and measurements"},
		{"medicines", "medicines", "Medicines and vaccines"},
		{"problems", "problems", "Health problems and allergies"},
		{"visits", "visits", "Visits and appointments"},
		{"care", "care", "Treatment and plans"},
		{"letters", "letters", "Notes, letters and messages"},
		{"money", "money", "Insurance and bills"},
		{"places", "places", "Doctors, clinics and other lists"},
		{"keeping", "keeping", "Behind the scenes"},
		{"other", "other", "Other information"},
		{"stay", "stay", "Staying connected"},
	}
}

// wordsFor gives the words for a FHIR R4 resource type, or false for one that
// is not in the table.
func wordsFor(typ string) (words, bool) {
	w, ok := typeWords[typ]
	return w, ok
}

// typeWords is the wording of each R4 type that a patient may own, and of the
// types around it that an app may ask for. A type that is missing here would be
// shown under its technical name.
var typeWords = map[string]words{
	"*": {"all", "The whole record", "Every kind of information that is kept here, also private matters such as mental or sexual health, notes and bills, and kinds that are added later."},

	"Patient":       {"you", "Name and contact details", "Name, date of birth, sex, address, phone, languages."},
	"RelatedPerson": {"you", "Family and carers", "People named in the record as family, carer or emergency contact."},
	"Person":        {"you", "Links to other records of the same person", "That several records are about one person."},

	"Observation":       {"tests", "Lab results and vital signs", "For example blood tests, blood pressure, weight, and answers about smoking or daily life."},
	"DiagnosticReport":  {"tests", "Test reports", "Reports from the lab, X-rays and other scans, with what the doctor concluded."},
	"Specimen":          {"tests", "Samples", "Blood, urine or tissue that was taken, and when."},
	"ImagingStudy":      {"tests", "X-rays and scans", "Which pictures were taken, and when."},
	"Media":             {"tests", "Photos, films and sound", "For example a photo of the skin."},
	"MolecularSequence": {"tests", "Genetic test data", "Parts of the genetic code. This also says something about relatives."},
	"BodyStructure":     {"tests", "Places on the body", "Where something was found or treated."},

	"MedicationRequest":          {"medicines", "Prescriptions", "Medicines that were ordered, how to take them and who ordered them."},
	"MedicationStatement":        {"medicines", "Medicines taken", "What was said about medicines taken, also ones bought without prescription."},
	"MedicationDispense":         {"medicines", "Medicines handed out", "What the pharmacy gave, when and how much."},
	"MedicationAdministration":   {"medicines", "Medicines given by staff", "For example an infusion in the hospital."},
	"Medication":                 {"medicines", "Names of medicines", "What a medicine is called and what is in it."},
	"MedicationKnowledge":        {"medicines", "Facts about medicines", "General facts, not about a person."},
	"Immunization":               {"medicines", "Vaccines", "Which vaccines were given, and when."},
	"ImmunizationEvaluation":     {"medicines", "Whether vaccines counted", "If a dose was valid."},
	"ImmunizationRecommendation": {"medicines", "Vaccines that are due", "Which vaccine comes next, and when."},

	"Condition":           {"problems", "Health problems", "Illnesses and diagnoses, now and earlier."},
	"AllergyIntolerance":  {"problems", "Allergies", "What is not tolerated, and what happens then."},
	"AdverseEvent":        {"problems", "Harm during care", "When something went wrong in treatment."},
	"ClinicalImpression":  {"problems", "What the doctor thought", "How findings were judged."},
	"DetectedIssue":       {"problems", "Warnings about treatment", "For example two medicines that do not go together."},
	"FamilyMemberHistory": {"problems", "Illnesses in the family", "What relatives have or had."},
	"Flag":                {"problems", "Alerts in the record", "Things that staff should notice at once."},
	"RiskAssessment":      {"problems", "Risks", "How likely an illness may be."},

	"Appointment":         {"visits", "Appointments", "When, where and with whom, past and to come."},
	"AppointmentResponse": {"visits", "Answers to appointments", "Who said yes or no to a time."},
	"Encounter":           {"visits", "Visits and hospital stays", "When, where, with whom and why."},
	"EpisodeOfCare":       {"visits", "Longer times in care", "For example all care in a pregnancy."},
	"Schedule":            {"visits", "Calendars", "When doctors and rooms can be booked."},
	"Slot":                {"visits", "Free times", "Times that can be booked."},

	"Procedure":          {"care", "Operations and treatments", "What was done, when and by whom."},
	"CarePlan":           {"care", "Care plans", "What is planned for health and treatment."},
	"CareTeam":           {"care", "Care team", "Who takes part in the care."},
	"Goal":               {"care", "Goals", "What the treatment should reach."},
	"ServiceRequest":     {"care", "Orders and referrals", "Tests or treatments that were asked for."},
	"DeviceRequest":      {"care", "Aids and devices that were ordered", "For example a hearing aid."},
	"DeviceUseStatement": {"care", "Use of aids and devices", "What was said about using them."},
	"Device":             {"care", "Implants, aids and devices", "For example a pacemaker, with its serial number."},
	"DeviceMetric":       {"care", "Settings of devices", "What a device measures."},
	"NutritionOrder":     {"care", "Diets", "What to eat or not to eat."},
	"RequestGroup":       {"care", "Sets of orders", "Orders that belong together."},
	"GuidanceResponse":   {"care", "Advice by computer", "What a program suggested."},
	"SupplyRequest":      {"care", "Supplies that were ordered", "For example bandages."},
	"SupplyDelivery":     {"care", "Supplies that were delivered", "What arrived, and when."},
	"Task":               {"care", "Tasks", "What is to be done, and by whom."},
	"VisionPrescription": {"care", "Glasses and lenses", "Which strength was prescribed."},
	"BiologicallyDerivedProduct": {"care", "Blood and tissue products",
		"For example a unit of blood."},

	"DocumentReference":     {"letters", "Notes and documents", "Doctor’s notes, letters and other papers."},
	"DocumentManifest":      {"letters", "Lists of documents", "Which papers belong together."},
	"Composition":           {"letters", "Longer documents", "For example a letter after a hospital stay."},
	"Binary":                {"letters", "Files", "The papers and pictures themselves, for example as PDF."},
	"Communication":         {"letters", "Messages", "Messages between people and the care team."},
	"CommunicationRequest":  {"letters", "Messages that are due", "Reminders and messages somebody should send."},
	"QuestionnaireResponse": {"letters", "Filled-in forms", "Answers to questions, for example about mood or pain."},
	"Questionnaire":         {"letters", "Empty forms", "The questions alone."},
	"List":                  {"letters", "Lists in the record", "For example a list of current problems."},
	"Consent":               {"letters", "Agreements", "What was agreed to or refused before."},
	"Contract":              {"letters", "Contracts", "Contracts about care."},

	"Coverage":                    {"money", "Insurance", "Insurer, plan and member number."},
	"CoverageEligibilityRequest":  {"money", "Questions to the insurer", "What was asked about cover."},
	"CoverageEligibilityResponse": {"money", "Answers of the insurer", "What is covered."},
	"EnrollmentRequest":           {"money", "Requests to join a plan", "Who asked to join."},
	"EnrollmentResponse":          {"money", "Answers about joining a plan", "If it was accepted."},
	"Claim":                       {"money", "Claims", "What was asked from the insurer. It often names illnesses."},
	"ClaimResponse":               {"money", "Answers to claims", "What the insurer decided."},
	"ExplanationOfBenefit":        {"money", "What the insurer paid", "Services, prices and who paid. It often names illnesses."},
	"Account":                     {"money", "Accounts", "Where costs of care are collected."},
	"ChargeItem":                  {"money", "Single charges", "What each service costs."},
	"Invoice":                     {"money", "Bills", "What is to be paid."},
	"PaymentNotice":               {"money", "Notices of payment", "That something was paid."},
	"PaymentReconciliation":       {"money", "Lists of payments", "Which payment was for what."},

	"Practitioner":            {"places", "Doctors and other staff", "Names and how to reach them."},
	"PractitionerRole":        {"places", "What staff do where", "For example heart doctor at the clinic."},
	"Organization":            {"places", "Clinics, labs and insurers", "Names and addresses."},
	"OrganizationAffiliation": {"places", "Which organisations work together", "For example a lab that works for a clinic."},
	"Location":                {"places", "Places", "Where care is given."},
	"HealthcareService":       {"places", "Services on offer", "What a clinic does."},
	"Endpoint":                {"places", "Technical addresses", "Where computers of a clinic can be reached."},
	"InsurancePlan":           {"places", "Insurance plans on offer", "General facts, not about a person."},
	"Substance":               {"places", "Substances", "General facts, not about a person."},

	"Provenance":      {"keeping", "Where information comes from", "Who entered something into the record, and when."},
	"AuditEvent":      {"keeping", "Who looked at the record", "Names and times of access."},
	"Basic":           {"keeping", "Information of other kinds", "What fits nowhere else."},
	"Group":           {"keeping", "Groups", "Groups of people that the person is part of."},
	"Linkage":         {"keeping", "Links between entries", "Which entries mean the same."},
	"MeasureReport":   {"keeping", "Quality figures", "How care is measured."},
	"ResearchStudy":   {"keeping", "Studies", "What a study is about."},
	"ResearchSubject": {"keeping", "Taking part in studies", "Which studies the person is in."},
}

// stayWords is the wording of the scopes that keep an app connected (SMART App
// Launch 2.2, "Scopes for requesting a refresh token").
func stayWords(scope string) (words, bool) {
	switch scope {
	case "offline_access":
		return words{"stay", "Keep access while you do other things", "The app may look again later without asking you, until access ends."}, true
	case "online_access":
		return words{"stay", "Keep access while you are signed in", "The app may look again without asking, as long as you stay signed in."}, true
	}
	return words{}, false
}

// alwaysWords is the wording of identity and context scopes; it says what each
// one tells the app.
func alwaysWords(scope string) (string, bool) {
	switch scope {
	case "openid":
		return "The app learns that you signed in here. It does not get your password.", true
	case "fhirUser", "profile":
		return "The app learns your name here, and if you are the patient or act for one.", true
	case "launch/patient", "launch", "patient":
		return "The app learns whose record you chose.", true
	case "launch/encounter":
		return "The app learns which visit it is about.", true
	case "email":
		return "The app learns your e-mail address.", true
	case "phone":
		return "The app learns your phone number.", true
	case "address":
		return "The app learns your address.", true
	}
	return "", false
}

// narrowed is the wording of the categories that US Core 6.1.0 lets an app ask
// for one by one (granular scopes), by resource type and code.
func narrowed(typ, code string) (words, bool) {
	switch typ + " " + code {
	case "Observation laboratory":
		return words{"tests", "Lab results", "For example blood and urine tests."}, true
	case "Observation vital-signs":
		return words{"tests", "Vital signs", "For example blood pressure, pulse, height and weight."}, true
	case "Observation social-history":
		return words{"tests", "Way of life", "For example smoking, work and pregnancy."}, true
	case "Observation sdoh":
		return words{"tests", "Living conditions", "For example housing, food and money worries."}, true
	case "Observation survey":
		return words{"tests", "Answers to questions", "For example about mood, pain or daily life."}, true
	case "Observation imaging":
		return words{"tests", "Findings from X-rays and scans", "What was seen on the pictures."}, true
	case "Observation exam":
		return words{"tests", "Findings from examinations", "What a doctor saw or felt."}, true
	case "Observation clinical-test":
		return words{"tests", "Other test results", "For example a heart tracing (ECG) or a hearing test."}, true
	case "Observation procedure":
		return words{"tests", "Findings from procedures", "What was measured during a treatment."}, true
	case "Observation activity":
		return words{"tests", "Activity and exercise", "For example steps."}, true
	case "Observation therapy":
		return words{"tests", "Findings from therapy", "What was measured in therapy."}, true
	case "Condition problem-list-item":
		return words{"problems", "Health problems on the main list", "Illnesses that last or matter for long."}, true
	case "Condition encounter-diagnosis":
		return words{"problems", "Diagnoses from visits", "What was found at a single visit."}, true
	case "Condition health-concern":
		return words{"problems", "Health worries", "What you or others worry about, for example housing."}, true
	case "DiagnosticReport LAB":
		return words{"tests", "Reports from the lab", "What was tested, and what was found."}, true
	case "DiagnosticReport LP29684-5":
		return words{"tests", "Reports of X-rays and scans", "What was seen on the pictures."}, true
	case "DiagnosticReport LP29708-2":
		return words{"tests", "Reports of heart tests", "For example an ultrasound of the heart."}, true
	case "DiagnosticReport LP7839-6":
		return words{"tests", "Reports on tissue", "What was found in tissue that was taken."}, true
	case "DocumentReference clinical-note":
		return words{"letters", "Doctor’s notes", "What doctors and nurses wrote down."}, true
	}
	return words{}, false
}
