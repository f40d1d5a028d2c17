package compartment

// rules is the owner rule of every R4 (4.0.1) resource type, in alphabetical
// order. Taken from CompartmentDefinition/patient 4.0.1 (CC0), whose parameters
// stand behind "R4:", and edited: the compartment lists resources in which a
// patient merely appears, an owner is who the resource is about. The closed
// types are definitions, terminologies and infrastructure unless a reason is
// given.
var rules = []Rule{
	{Type: "Account", Class: Shared, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject; a family account names several
	{Type: "ActivityDefinition"},
	{Type: "AdverseEvent", Class: Own, Owners: []string{"subject"}, Narrow: []string{"subject"}},                            // R4: subject
	{Type: "AllergyIntolerance", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                      // R4: patient, recorder, asserter; recorder and asserter do not make an owner
	{Type: "Appointment", Class: Shared, Participants: []string{"participant.actor"}, Narrow: []string{"patient", "actor"}}, // R4: actor; group visits
	{Type: "AppointmentResponse", Class: Shared, Participants: []string{"actor"}, Narrow: []string{"patient", "actor"}},     // R4: actor
	{Type: "AuditEvent"}, // R4: patient; in the R4 compartment, but an EHR's entries name staff and other people's records
	{Type: "Basic", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                                                                                       // R4: patient, author; authorship alone does not make an owner
	{Type: "Binary", Class: Reached, Through: []string{"securityContext"}, Pointers: []Pointer{{"DocumentReference", ""}, {"DiagnosticReport", ""}, {"Media", ""}, {"Communication", ""}}}, // not in the R4 compartment; securityContext when present must be the patient's own
	{Type: "BiologicallyDerivedProduct", Class: Own, Owners: []string{"collection.source"}, Anchors: []string{"_id"}},                                                                      // not in the R4 compartment, yet it names a donor
	{Type: "BodyStructure", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                                                                                          // R4: patient
	{Type: "Bundle"},
	{Type: "CapabilityStatement"},
	{Type: "CarePlan", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                                                  // R4: patient, performer
	{Type: "CareTeam", Class: Shared, Owners: []string{"subject"}, Participants: []string{"participant.member"}, Narrow: []string{"patient", "subject"}}, // R4: patient, participant
	{Type: "CatalogEntry"},
	{Type: "ChargeItem", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject
	{Type: "ChargeItemDefinition"},
	{Type: "Claim", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                         // R4: patient, payee
	{Type: "ClaimResponse", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                 // R4: patient
	{Type: "ClinicalImpression", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject
	{Type: "CodeSystem"},
	{Type: "Communication", Class: Shared, Owners: []string{"subject"}, Participants: []string{"sender", "recipient"}, Narrow: []string{"patient", "subject"}, Union: []string{"sender", "recipient"}},                                  // R4: subject, sender, recipient; a message about another patient is not mine because I received it
	{Type: "CommunicationRequest", Class: Shared, Owners: []string{"subject"}, Participants: []string{"sender", "recipient", "requester"}, Narrow: []string{"patient", "subject"}, Union: []string{"sender", "recipient", "requester"}}, // R4: subject, sender, recipient, requester
	{Type: "CompartmentDefinition"},
	{Type: "Composition", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject, author, attester
	{Type: "ConceptMap"},
	{Type: "Condition", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                                                                                                                                                   // R4: patient, asserter
	{Type: "Consent", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                                                                                                                                                                // R4: patient
	{Type: "Contract", Class: Shared, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                                                                                                                                                 // not in the R4 compartment, yet it names people
	{Type: "Coverage", Class: Own, Owners: []string{"beneficiary"}, Narrow: []string{"patient", "beneficiary"}},                                                                                                                                            // R4: policy-holder, subscriber, beneficiary, payor; the policy of a family belongs to whom it covers, not to who pays
	{Type: "CoverageEligibilityRequest", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                                                                                                                                             // R4: patient
	{Type: "CoverageEligibilityResponse", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                                                                                                                                            // R4: patient
	{Type: "DetectedIssue", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                                                                                                                                                          // R4: patient
	{Type: "Device", Class: Reached, Owners: []string{"patient"}, Narrow: []string{"patient"}, Anchors: []string{"_id"}, Pointers: []Pointer{{"DeviceUseStatement", "device"}, {"Observation", "device"}, {"Procedure", ""}, {"DeviceRequest", "device"}}}, // not in the R4 compartment; an implant names its patient
	{Type: "DeviceDefinition"},
	{Type: "DeviceMetric", Class: Reached, Anchors: []string{"_id"}, Pointers: []Pointer{{"Observation", "device"}}},
	{Type: "DeviceRequest", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                                  // R4: subject, performer
	{Type: "DeviceUseStatement", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                             // R4: subject
	{Type: "DiagnosticReport", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                               // R4: subject
	{Type: "DocumentManifest", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                               // R4: subject, author, recipient
	{Type: "DocumentReference", Class: Own, Owners: []string{"subject", "context.sourcePatientInfo"}, Narrow: []string{"patient", "subject"}}, // R4: subject, author
	{Type: "EffectEvidenceSynthesis"},
	{Type: "Encounter", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject
	{Type: "Endpoint", Class: Directory},
	{Type: "EnrollmentRequest", Class: Own, Owners: []string{"candidate"}, Narrow: []string{"patient", "subject"}},  // R4: subject
	{Type: "EnrollmentResponse", Class: Through, Through: []string{"request"}, Anchors: []string{"request", "_id"}}, // not in the R4 compartment
	{Type: "EpisodeOfCare", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                   // R4: patient
	{Type: "EventDefinition"},
	{Type: "Evidence"},
	{Type: "EvidenceVariable"},
	{Type: "ExampleScenario"},
	{Type: "ExplanationOfBenefit", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}}, // R4: patient, payee
	{Type: "FamilyMemberHistory", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},  // R4: patient
	{Type: "Flag", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},      // R4: patient
	{Type: "Goal", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},      // R4: patient
	{Type: "GraphDefinition"},
	{Type: "Group", Class: Shared, Participants: []string{"member.entity"}, Narrow: []string{"member"}},         // R4: member
	{Type: "GuidanceResponse", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // not in the R4 compartment
	{Type: "HealthcareService", Class: Directory},
	{Type: "ImagingStudy", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},    // R4: patient
	{Type: "Immunization", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},               // R4: patient
	{Type: "ImmunizationEvaluation", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},     // R4: patient
	{Type: "ImmunizationRecommendation", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}}, // R4: patient
	{Type: "ImplementationGuide"},
	{Type: "InsurancePlan"},
	{Type: "Invoice", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject, patient, recipient; recipient pays, subject owns
	{Type: "Library"},
	{Type: "Linkage"},
	{Type: "List", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject, source
	{Type: "Location", Class: Directory},
	{Type: "Measure"},
	{Type: "MeasureReport", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: patient
	{Type: "Media", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},         // R4: subject
	{Type: "Medication", Class: Directory},
	{Type: "MedicationAdministration", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: patient, performer, subject
	{Type: "MedicationDispense", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},       // R4: subject, patient, receiver
	{Type: "MedicationKnowledge"},
	{Type: "MedicationRequest", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},   // R4: subject
	{Type: "MedicationStatement", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject
	{Type: "MedicinalProduct"},
	{Type: "MedicinalProductAuthorization"},
	{Type: "MedicinalProductContraindication"},
	{Type: "MedicinalProductIndication"},
	{Type: "MedicinalProductIngredient"},
	{Type: "MedicinalProductInteraction"},
	{Type: "MedicinalProductManufactured"},
	{Type: "MedicinalProductPackaged"},
	{Type: "MedicinalProductPharmaceutical"},
	{Type: "MedicinalProductUndesirableEffect"},
	{Type: "MessageDefinition"},
	{Type: "MessageHeader"},
	{Type: "MolecularSequence", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}}, // R4: patient
	{Type: "NamingSystem"},
	{Type: "NutritionOrder", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},         // R4: patient
	{Type: "Observation", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject, performer
	{Type: "ObservationDefinition"},
	{Type: "OperationDefinition"},
	{Type: "OperationOutcome"},
	{Type: "Organization", Class: Directory},
	{Type: "OrganizationAffiliation"},
	{Type: "Parameters"},
	{Type: "Patient", Class: Self, Narrow: []string{"_id"}}, // R4: link
	{Type: "PaymentNotice", Class: Through, Through: []string{"request", "response"}, Anchors: []string{"request", "response", "_id"}},                      // not in the R4 compartment, yet it tells of somebody's bill
	{Type: "PaymentReconciliation", Class: Through, Through: []string{"detail.request", "detail.response", "request"}, Anchors: []string{"request", "_id"}}, // not in the R4 compartment; one payment may settle the bills of many
	{Type: "Person", Class: Own, Owners: []string{"link.target"}, Narrow: []string{"patient"}},                                                              // R4: patient; every linked patient must be the same
	{Type: "PlanDefinition"},
	{Type: "Practitioner", Class: Directory},
	{Type: "PractitionerRole", Class: Directory},
	{Type: "Procedure", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},                               // R4: patient, performer
	{Type: "Provenance", Class: Through, Through: []string{"target"}, Narrow: []string{"patient"}, Anchors: []string{"target", "_id"}}, // R4: patient
	{Type: "Questionnaire"},
	{Type: "QuestionnaireResponse", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject, author
	{Type: "RelatedPerson", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                    // R4: patient
	{Type: "RequestGroup", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},          // R4: subject, participant
	{Type: "ResearchDefinition"},
	{Type: "ResearchElementDefinition"},
	{Type: "ResearchStudy"},
	{Type: "ResearchSubject", Class: Own, Owners: []string{"individual"}, Narrow: []string{"patient", "individual"}}, // R4: individual
	{Type: "RiskAssessment", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}},        // R4: subject
	{Type: "RiskEvidenceSynthesis"},
	{Type: "Schedule", Class: Directory, Owners: []string{"actor"}}, // R4: actor; in the R4 compartment by actor; the schedule of a patient is theirs alone
	{Type: "SearchParameter"},
	{Type: "ServiceRequest", Class: Own, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}}, // R4: subject, performer
	{Type: "Slot", Class: Directory},
	{Type: "Specimen", Class: Reached, Owners: []string{"subject"}, Narrow: []string{"patient", "subject"}, Anchors: []string{"_id"}, Pointers: []Pointer{{"Observation", "specimen"}, {"DiagnosticReport", "specimen"}}}, // R4: subject; its subject decides when it has one
	{Type: "SpecimenDefinition"},
	{Type: "StructureDefinition"},
	{Type: "StructureMap"},
	{Type: "Subscription"},
	{Type: "Substance", Class: Reached, Anchors: []string{"_id"}, Pointers: []Pointer{{"AllergyIntolerance", ""}, {"Specimen", ""}}},
	{Type: "SubstanceNucleicAcid"},
	{Type: "SubstancePolymer"},
	{Type: "SubstanceProtein"},
	{Type: "SubstanceReferenceInformation"},
	{Type: "SubstanceSourceMaterial"},
	{Type: "SubstanceSpecification"},
	{Type: "SupplyDelivery", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}},                                            // R4: patient
	{Type: "SupplyRequest", Class: Own, Owners: []string{"deliverTo"}, Narrow: []string{"subject"}},                                           // R4: subject
	{Type: "Task", Class: Own, Owners: []string{"for"}, Participants: []string{"focus", "requester"}, Narrow: []string{"patient", "subject"}}, // R4: patient, focus; focus and requester decide where for is missing
	{Type: "TerminologyCapabilities"},
	{Type: "TestReport"},
	{Type: "TestScript"},
	{Type: "ValueSet"},
	{Type: "VerificationResult"},
	{Type: "VisionPrescription", Class: Own, Owners: []string{"patient"}, Narrow: []string{"patient"}}, // R4: patient
}
