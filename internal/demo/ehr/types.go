package ehr

import (
	"sort"
	"strings"
)

// typeInfo is what the server knows of one resource type. The table is taken
// from the R4 (4.0.1) StructureDefinitions and from CompartmentDefinition/
// patient; nothing was edited. It is deliberately not the table of the gateway:
// what is tested must not be tested against itself.
type typeInfo struct {
	name        string
	mandatory   string // top-level elements with min > 0 or isModifier, kept by _elements and _summary
	summary     string // the other top-level elements with isSummary
	compartment string // the search parameters that place it in a Patient compartment
}

// typeNamed finds a resource type and its place in the table.
func typeNamed(name string) (int, bool) {
	i := sort.Search(len(resourceTypes), func(i int) bool { return resourceTypes[i].name >= name })
	return i, i < len(resourceTypes) && resourceTypes[i].name == name
}

// always are the elements that no type may lose (R4 search, section 3.1.1.5.7:
// mandatory and modifier elements should be included).
const always = "resourceType id meta implicitRules modifierExtension"

// elementSet holds the names of top-level elements. A choice of types is kept
// under its stem, so that value[x] covers valueQuantity.
type elementSet map[string]bool

func newElementSet(lists ...string) elementSet {
	set := elementSet{}
	for _, list := range lists {
		for _, name := range strings.Fields(list) {
			set[name] = true
		}
	}
	return set
}

// has says whether a member belongs to the set; _birthDate goes with birthDate.
func (s elementSet) has(member string) bool {
	name := strings.TrimPrefix(member, "_")
	if s[name] {
		return true
	}
	for i := 1; i < len(name); i++ {
		if name[i] >= 'A' && name[i] <= 'Z' && s[name[:i]+"[x]"] {
			return true
		}
	}
	return false
}

// resourceTypes is sorted by name.
var resourceTypes = [...]typeInfo{
	{"Account", "status", "identifier type name subject servicePeriod coverage owner description", "subject"},
	{"ActivityDefinition", "status doNotPerform", "url identifier version name title experimental date publisher contact description useContext jurisdiction effectivePeriod kind code", ""},
	{"AdverseEvent", "actuality subject", "identifier category event encounter date detected recordedDate resultingCondition location seriousness severity outcome recorder contributor suspectEntity subjectMedicalHistory referenceDocument study", "subject"},
	{"AllergyIntolerance", "clinicalStatus verificationStatus patient", "identifier type category criticality code asserter", "patient recorder asserter"},
	{"Appointment", "status participant", "identifier cancelationReason serviceCategory serviceType specialty appointmentType reasonCode start end", "actor"},
	{"AppointmentResponse", "appointment participantStatus", "identifier participantType actor", "actor"},
	{"AuditEvent", "type recorded agent source", "subtype action outcome outcomeDesc purposeOfEvent", "patient"},
	{"Basic", "code", "identifier subject created author", "patient author"},
	{"Binary", "contentType", "securityContext url", ""},
	{"BiologicallyDerivedProduct", "", "identifier", ""},
	{"BodyStructure", "active patient", "identifier morphology location description", "patient"},
	{"Bundle", "type", "identifier timestamp total link entry signature", ""},
	{"CapabilityStatement", "status date kind fhirVersion format", "url version name title experimental publisher contact useContext jurisdiction instantiates imports software implementation patchFormat implementationGuide rest messaging document", ""},
	{"CarePlan", "status intent subject", "identifier instantiatesCanonical instantiatesUri basedOn replaces partOf category title description encounter period created author addresses", "patient performer"},
	{"CareTeam", "status", "identifier category name subject encounter period managingOrganization", "patient participant"},
	{"CatalogEntry", "orderable referencedItem", "identifier", ""},
	{"ChargeItem", "status code subject", "identifier context occurrence[x] quantity bodysite enterer enteredDate account", "subject"},
	{"ChargeItemDefinition", "url status", "identifier version title derivedFromUri partOf replaces experimental date publisher contact description useContext jurisdiction effectivePeriod code", ""},
	{"Claim", "status type use patient created provider priority insurance", "billablePeriod insurer", "patient payee"},
	{"ClaimResponse", "status type use patient created insurer outcome", "request total", "patient"},
	{"ClinicalImpression", "status subject", "identifier code description encounter effective[x] date assessor problem", "subject"},
	{"CodeSystem", "status content", "url identifier version name title experimental date publisher contact useContext jurisdiction caseSensitive valueSet hierarchyMeaning compositional versionNeeded supplements count filter property", ""},
	{"Communication", "status", "identifier instantiatesCanonical instantiatesUri basedOn partOf statusReason priority subject encounter reasonCode reasonReference", "subject sender recipient"},
	{"CommunicationRequest", "status doNotPerform", "identifier basedOn replaces groupIdentifier priority encounter occurrence[x] authoredOn requester sender reasonCode reasonReference", "subject sender recipient requester"},
	{"CompartmentDefinition", "url name status code search", "version experimental date publisher contact useContext resource", ""},
	{"Composition", "status type date author title", "identifier category subject encounter confidentiality custodian event", "subject author attester"},
	{"ConceptMap", "status", "url identifier version name title experimental date publisher contact useContext jurisdiction source[x] target[x]", ""},
	{"Condition", "clinicalStatus verificationStatus subject", "identifier code bodySite encounter onset[x] recordedDate recorder asserter", "patient asserter"},
	{"Consent", "status scope category", "identifier patient dateTime performer organization source[x] policyRule verification provision", "patient"},
	{"Contract", "status", "identifier version issued applies subject name title type subType", ""},
	{"Coverage", "status beneficiary payor", "identifier type policyHolder subscriber subscriberId dependent period order network", "policy-holder subscriber beneficiary payor"},
	{"CoverageEligibilityRequest", "status purpose patient created insurer", "", "patient"},
	{"CoverageEligibilityResponse", "status purpose patient created request outcome insurer", "", "patient"},
	{"DetectedIssue", "status", "identifier code severity patient identified[x] author implicated", "patient"},
	{"Device", "status", "udiCarrier safety", ""},
	{"DeviceDefinition", "", "safety parentDevice bodySite", ""},
	{"DeviceMetric", "type category", "identifier unit source parent operationalStatus color measurementPeriod calibration", ""},
	{"DeviceRequest", "status intent code[x] subject", "identifier instantiatesCanonical instantiatesUri basedOn priorRequest groupIdentifier priority encounter occurrence[x] authoredOn requester performerType performer reasonCode reasonReference", "subject performer"},
	{"DeviceUseStatement", "status subject device", "identifier basedOn derivedFrom timing[x] recordedOn source reasonCode reasonReference bodySite", "subject"},
	{"DiagnosticReport", "status code", "identifier category subject encounter effective[x] issued performer resultsInterpreter media", "subject"},
	{"DocumentManifest", "status content", "masterIdentifier identifier type subject author description", "subject author recipient"},
	{"DocumentReference", "status content", "masterIdentifier identifier docStatus type category subject date author relatesTo description securityLabel context", "subject author"},
	{"EffectEvidenceSynthesis", "status population exposure exposureAlternative outcome", "url identifier version name title date publisher contact description useContext jurisdiction effectivePeriod effectEstimate", ""},
	{"Encounter", "status class", "identifier type serviceType subject episodeOfCare participant appointment reasonCode reasonReference diagnosis", "subject"},
	{"Endpoint", "status connectionType payloadType address", "identifier name managingOrganization period payloadMimeType", ""},
	{"EnrollmentRequest", "status", "", "subject"},
	{"EnrollmentResponse", "status", "", ""},
	{"EpisodeOfCare", "status patient", "type diagnosis managingOrganization period", "patient"},
	{"EventDefinition", "status trigger", "url identifier version name title experimental date publisher contact useContext jurisdiction approvalDate lastReviewDate effectivePeriod", ""},
	{"Evidence", "status exposureBackground", "url identifier version name title date publisher contact description useContext jurisdiction effectivePeriod exposureVariant outcome", ""},
	{"EvidenceVariable", "status", "url identifier version name title shortTitle date publisher contact description useContext jurisdiction effectivePeriod type characteristic", ""},
	{"ExampleScenario", "status", "url identifier version name experimental date publisher contact useContext jurisdiction", ""},
	{"ExplanationOfBenefit", "status type use patient created insurer provider outcome insurance", "billablePeriod total", "patient payee"},
	{"FamilyMemberHistory", "status patient relationship", "identifier instantiatesCanonical instantiatesUri dataAbsentReason date name sex age[x] estimatedAge deceased[x] reasonCode reasonReference", "patient"},
	{"Flag", "status code subject", "identifier category period encounter author", "patient"},
	{"Goal", "lifecycleStatus description subject", "achievementStatus category priority start[x] statusDate expressedBy", "patient"},
	{"GraphDefinition", "name status start", "url version experimental date publisher contact useContext jurisdiction", ""},
	{"Group", "type actual", "identifier active code name quantity managingEntity", "member"},
	{"GuidanceResponse", "module[x] status", "requestIdentifier identifier", ""},
	{"HealthcareService", "active", "identifier providedBy category type specialty location name comment photo", ""},
	{"ImagingStudy", "status subject", "identifier modality encounter started basedOn referrer interpreter endpoint numberOfSeries numberOfInstances procedureReference procedureCode location reasonCode reasonReference note description series", "patient"},
	{"Immunization", "status vaccineCode patient occurrence[x] isSubpotent", "primarySource performer note", "patient"},
	{"ImmunizationEvaluation", "status patient targetDisease immunizationEvent doseStatus", "", "patient"},
	{"ImmunizationRecommendation", "patient date recommendation", "identifier", "patient"},
	{"ImplementationGuide", "url name status packageId fhirVersion", "version title experimental date publisher contact useContext jurisdiction license dependsOn global", ""},
	{"InsurancePlan", "status", "identifier type name ownedBy administeredBy coverageArea", ""},
	{"Invoice", "status", "identifier type subject recipient date totalNet totalGross", "subject patient recipient"},
	{"Library", "status type", "url identifier version name title experimental date publisher contact description useContext jurisdiction effectivePeriod content", ""},
	{"Linkage", "item", "active author", ""},
	{"List", "status mode", "title code subject date source", "subject source"},
	{"Location", "status", "identifier operationalStatus name description mode type physicalType managingOrganization", ""},
	{"Measure", "status", "url identifier version name title experimental date publisher contact description useContext jurisdiction effectivePeriod disclaimer scoring compositeScoring type riskAdjustment rateAggregation rationale clinicalRecommendationStatement improvementNotation definition guidance", ""},
	{"MeasureReport", "status type measure period improvementNotation", "identifier subject date reporter", "patient"},
	{"Media", "status content", "identifier basedOn partOf type modality view subject encounter created[x] issued operator reasonCode bodySite deviceName device height width frames duration", "subject"},
	{"Medication", "status", "identifier code manufacturer amount", ""},
	{"MedicationAdministration", "status medication[x] subject effective[x]", "instantiates partOf performer", "patient performer subject"},
	{"MedicationDispense", "status medication[x]", "subject whenPrepared", "subject patient receiver"},
	{"MedicationKnowledge", "status", "code manufacturer amount synonym", ""},
	{"MedicationRequest", "status intent doNotPerform medication[x] subject", "priority reported[x] authoredOn requester performerType instantiatesCanonical instantiatesUri basedOn groupIdentifier", "subject"},
	{"MedicationStatement", "status medication[x] subject", "identifier basedOn partOf category context effective[x] dateAsserted", "subject"},
	{"MedicinalProduct", "name", "identifier type domain combinedPharmaceuticalDoseForm legalStatusOfSupply additionalMonitoringIndicator specialMeasures paediatricUseIndicator productClassification marketingStatus pharmaceuticalProduct packagedMedicinalProduct attachedDocument masterFile contact clinicalTrial crossReference manufacturingBusinessOperation specialDesignation", ""},
	{"MedicinalProductAuthorization", "", "identifier subject country jurisdiction status statusDate restoreDate validityPeriod dataExclusivityPeriod dateOfFirstAuthorization internationalBirthDate legalBasis jurisdictionalAuthorization holder regulator procedure", ""},
	{"MedicinalProductContraindication", "", "subject disease diseaseStatus comorbidity therapeuticIndication otherTherapy population", ""},
	{"MedicinalProductIndication", "", "subject diseaseSymptomProcedure diseaseStatus comorbidity intendedEffect duration otherTherapy undesirableEffect population", ""},
	{"MedicinalProductIngredient", "role", "identifier allergenicIndicator manufacturer specifiedSubstance substance", ""},
	{"MedicinalProductInteraction", "", "subject description interactant type effect incidence management", ""},
	{"MedicinalProductManufactured", "manufacturedDoseForm quantity", "unitOfPresentation manufacturer ingredient physicalCharacteristics otherCharacteristics", ""},
	{"MedicinalProductPackaged", "packageItem", "identifier subject description legalStatusOfSupply marketingStatus marketingAuthorization manufacturer batchIdentifier", ""},
	{"MedicinalProductPharmaceutical", "administrableDoseForm routeOfAdministration", "identifier unitOfPresentation ingredient device characteristics", ""},
	{"MedicinalProductUndesirableEffect", "", "subject symptomConditionEffect classification frequencyOfOccurrence population", ""},
	{"MessageDefinition", "status date event[x]", "url identifier version name title replaces experimental publisher contact description useContext jurisdiction purpose base parent category focus", ""},
	{"MessageHeader", "event[x] source", "destination sender enterer author responsible reason response focus definition", ""},
	{"MolecularSequence", "coordinateSystem", "identifier type patient specimen device performer quantity referenceSeq variant observedSeq quality readCoverage repository pointer structureVariant", "patient"},
	{"NamingSystem", "name status kind date uniqueId", "publisher contact useContext jurisdiction", ""},
	{"NutritionOrder", "status intent patient dateTime", "instantiatesCanonical instantiatesUri orderer", "patient"},
	{"Observation", "status code", "identifier basedOn partOf subject focus encounter effective[x] issued performer value[x] hasMember derivedFrom component", "subject performer"},
	{"ObservationDefinition", "code", "category identifier", ""},
	{"OperationDefinition", "name status kind code system type instance", "url version title experimental date publisher contact useContext jurisdiction affectsState base resource", ""},
	{"OperationOutcome", "issue", "", ""},
	{"Organization", "active", "identifier type name partOf", ""},
	{"OrganizationAffiliation", "", "identifier active period organization participatingOrganization network code specialty location telecom", ""},
	{"Parameters", "", "parameter", ""},
	{"Patient", "active deceased[x] link", "identifier name telecom gender birthDate address managingOrganization", "link"},
	{"PaymentNotice", "status created payment recipient amount", "", ""},
	{"PaymentReconciliation", "status created paymentDate paymentAmount", "period paymentIssuer", ""},
	{"Person", "active", "name telecom gender birthDate managingOrganization", "patient"},
	{"PlanDefinition", "status", "url identifier version name title type experimental date publisher contact description useContext jurisdiction effectivePeriod", ""},
	{"Practitioner", "", "identifier active name telecom address gender birthDate", ""},
	{"PractitionerRole", "", "identifier active period practitioner organization code specialty location telecom", ""},
	{"Procedure", "status subject", "identifier instantiatesCanonical instantiatesUri basedOn partOf statusReason category code encounter performed[x] recorder asserter performer location reasonCode reasonReference bodySite outcome", "patient performer"},
	{"Provenance", "target recorded agent", "", "patient"},
	{"Questionnaire", "status", "url identifier version name title experimental subjectType date publisher contact useContext jurisdiction effectivePeriod code", ""},
	{"QuestionnaireResponse", "status", "identifier basedOn partOf questionnaire subject encounter authored author source", "subject author"},
	{"RelatedPerson", "active patient", "identifier relationship name telecom gender birthDate address", "patient"},
	{"RequestGroup", "status intent", "identifier instantiatesCanonical instantiatesUri groupIdentifier priority code", "subject participant"},
	{"ResearchDefinition", "status population", "url identifier version name title experimental date publisher contact description useContext jurisdiction effectivePeriod exposure exposureAlternative outcome", ""},
	{"ResearchElementDefinition", "status type characteristic", "url identifier version name title shortTitle experimental date publisher contact description useContext jurisdiction effectivePeriod", ""},
	{"ResearchStudy", "status", "identifier title protocol partOf primaryPurposeType phase studyDesign category focus condition contact keyword location region enrollment period sponsor principalInvestigator site reasonStopped whyStopped recruitment result", ""},
	{"ResearchSubject", "status study individual", "identifier period", "individual"},
	{"RiskAssessment", "status subject", "identifier method code encounter occurrence[x] condition performer", "subject"},
	{"RiskEvidenceSynthesis", "status population outcome", "url identifier version name title date publisher contact description useContext jurisdiction effectivePeriod exposure riskEstimate", ""},
	{"Schedule", "active actor", "identifier serviceCategory serviceType specialty planningHorizon", "actor"},
	{"SearchParameter", "url name status description code base type", "version experimental date publisher contact useContext jurisdiction", ""},
	{"ServiceRequest", "status intent doNotPerform subject", "identifier instantiatesCanonical instantiatesUri basedOn replaces requisition category priority code orderDetail quantity[x] encounter occurrence[x] asNeeded[x] authoredOn requester performerType performer locationCode locationReference reasonCode reasonReference specimen bodySite patientInstruction", "subject performer"},
	{"Slot", "schedule status start end", "identifier serviceCategory serviceType specialty appointmentType", ""},
	{"Specimen", "status", "identifier accessionIdentifier type subject receivedTime condition", "subject"},
	{"SpecimenDefinition", "", "identifier typeCollected patientPreparation timeAspect collection", ""},
	{"StructureDefinition", "url name status kind abstract type", "identifier version title experimental date publisher contact useContext jurisdiction keyword fhirVersion context contextInvariant baseDefinition derivation", ""},
	{"StructureMap", "url name status group", "identifier version title experimental date publisher contact useContext jurisdiction structure import", ""},
	{"Subscription", "status reason criteria channel", "contact end error", ""},
	{"SubscriptionStatus", "type subscription", "status eventsSinceSubscriptionStart topic error", ""},
	{"Substance", "status code", "identifier category description instance ingredient", ""},
	{"SubstanceNucleicAcid", "", "sequenceType numberOfSubunits areaOfHybridisation oligoNucleotideType subunit", ""},
	{"SubstancePolymer", "", "class geometry copolymerConnectivity modification monomerSet repeat", ""},
	{"SubstanceProtein", "", "sequenceType numberOfSubunits disulfideLinkage subunit", ""},
	{"SubstanceReferenceInformation", "", "comment gene geneElement classification target", ""},
	{"SubstanceSourceMaterial", "", "sourceMaterialClass sourceMaterialType sourceMaterialState organismId organismName parentSubstanceId parentSubstanceName countryOfOrigin geographicalLocation developmentStage fractionDescription organism partDescription", ""},
	{"SubstanceSpecification", "", "identifier type status domain description source comment moiety property referenceInformation structure code name molecularWeight relationship nucleicAcid polymer protein sourceMaterial", ""},
	{"SupplyDelivery", "status", "basedOn partOf occurrence[x]", "patient"},
	{"SupplyRequest", "status item[x] quantity", "identifier category priority occurrence[x] authoredOn requester supplier", "subject"},
	{"Task", "status intent", "instantiatesCanonical instantiatesUri basedOn groupIdentifier partOf statusReason businessStatus code description focus for encounter executionPeriod lastModified requester owner location", "patient focus"},
	{"TerminologyCapabilities", "status date kind", "url version name title experimental publisher contact useContext jurisdiction copyright software implementation lockedDate", ""},
	{"TestReport", "status testScript result", "identifier name score tester issued", ""},
	{"TestScript", "url name status", "identifier version title experimental date publisher contact useContext jurisdiction", ""},
	{"ValueSet", "status", "url identifier version name title experimental date publisher contact useContext jurisdiction immutable", ""},
	{"VerificationResult", "status", "target targetLocation need statusDate validationType validationProcess failureAction", ""},
	{"VisionPrescription", "status created patient dateWritten prescriber lensSpecification", "", "patient"},
}
