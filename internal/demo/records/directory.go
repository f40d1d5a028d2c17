package records

import (
	"fmt"
	"strings"
	"time"
)

// The directory: who and where, shared by all patients. Nothing here depends on
// how many patients there are.

var (
	healthSystem = reference{"Organization/org-health-system", "Saguaro Valley Health"}
	laboratory   = reference{"Organization/org-laboratory", "Saguaro Valley Reference Laboratory"}
	pharmacy     = reference{"Organization/org-pharmacy", "Ironwood Pharmacy"}
	hospital     = reference{"Location/loc-hospital", "Saguaro Valley Hospital"}
	transmitter  = reference{"Organization/org-exchange", "Saguaro Valley Health Information Services"}
)

// doctor is a practitioner of the directory.
type doctor struct {
	key             string // the id without its kind
	given, family   string
	credential      string
	specialty, role code
	place           string // Location id
	npi             string
}

func (d doctor) ref() reference {
	return reference{"Practitioner/pr-" + d.key, d.given + " " + d.family + ", " + d.credential}
}

func (d doctor) schedule() string { return "sched-" + d.key }

var (
	familyMedicine   = code{nucc, "207Q00000X", "Family Medicine Physician"}
	internalMedicine = code{nucc, "207R00000X", "Internal Medicine Physician"}
	pediatrics       = code{nucc, "208000000X", "Pediatrics Physician"}
	educator         = code{nucc, "163WD0400X", "Diabetes Educator Registered Nurse"}
	generalPhysician = code{snomed, "59058001", "General physician"}
	pediatrician     = code{snomed, "82296001", "Pediatrician"}
	nurse            = code{snomed, "224535009", "Registered nurse"}
)

// specialists work at the hospital and see patients of every clinic.
var (
	hospitalist  = doctor{"hospitalist", "Adaeze", "Linton", "MD", code{nucc, "208M00000X", "Hospitalist Physician"}, code{snomed, "405279007", "Attending physician"}, "loc-hospital", npi(1)}
	cardiologist = doctor{"cardiologist", "Marek", "Sundqvist", "MD", code{nucc, "207RC0000X", "Cardiovascular Disease Physician"}, code{snomed, "17561000", "Cardiologist"}, "loc-hospital", npi(2)}
	radiologist  = doctor{"radiologist", "Leonie", "Farrant", "MD", code{nucc, "2085R0202X", "Diagnostic Radiology Physician"}, code{snomed, "66862007", "Radiologist"}, "loc-hospital", npi(3)}
	pathologist  = doctor{"pathologist", "Tomas", "Oyelaran", "MD", code{nucc, "207ZP0102X", "Anatomic Pathology & Clinical Pathology Physician"}, code{snomed, "61207006", "Medical pathologist"}, "loc-hospital", npi(4)}
	pharmacist   = doctor{"pharmacist", "Greta", "Villanueva", "PharmD", code{nucc, "183500000X", "Pharmacist"}, code{snomed, "46255001", "Pharmacist"}, "loc-pharmacy", npi(5)}
	obstetrician = doctor{"obstetrician", "Noor", "Castellane", "MD", code{nucc, "207V00000X", "Obstetrics & Gynecology Physician"}, code{snomed, "11935004", "Obstetrician"}, "loc-hospital", npi(6)}
	surgeon      = doctor{"surgeon", "Henrik", "Obradovic", "MD", code{nucc, "207X00000X", "Orthopaedic Surgery Physician"}, code{snomed, "22731001", "Orthopedic surgeon"}, "loc-hospital", npi(7)}
)

func specialists() []doctor {
	return []doctor{hospitalist, cardiologist, radiologist, pathologist, pharmacist, obstetrician, surgeon}
}

// npi gives a number that passes the check digit (US Core us-core-17) and can be
// nobody's: real ones begin with 1 or 2.
func npi(n int) string {
	body := fmt.Sprintf("9%08d", n)
	sum := 24 // the prefix 80840 counts 24
	for i, c := range body {
		digit := int(c - '0')
		if i%2 == 0 {
			if digit *= 2; digit > 9 {
				digit -= 9
			}
		}
		sum += digit
	}
	return fmt.Sprint(body, (10-sum%10)%10)
}

type insurer struct {
	id, name, plan string
	kind, policy   code
}

const sopt = "https://nahdo.org/sopt"

var insurers = []insurer{
	{"org-payer-1", "Copper State Health Plan", "Copper Choice PPO", code{sopt, "512", "Commercial Managed Care - PPO"}, code{actCode, "PPO", "preferred provider organization policy"}},
	{"org-payer-2", "Sonoran Mutual", "Sonoran Care HMO", code{sopt, "511", "Commercial Managed Care - HMO"}, code{actCode, "HMO", "health maintenance organization policy"}},
	{"org-payer-3", "Desert Medicaid Partners", "Desert Family Plan", code{sopt, "2", "MEDICAID"}, code{actCode, "SUBSIDIZ", "subsidized health program"}},
	{"org-payer-4", "Western Senior Advantage", "Senior Advantage Gold", code{sopt, "1", "MEDICARE"}, code{actCode, "RETIRE", "retiree health program"}},
}

// directory writes what every clinic and patient refers to.
func directory(w *world) [][]byte {
	c := &chart{world: w}
	founded := w.today.AddDate(-12, 0, 0)
	organization := func(id, name, kind, kindName, identifierSystem, value string) {
		c.add(entry{typ: "Organization", id: id, profile: "us-core-organization", at: founded, author: healthSystem}, obj{
			{"identifier", list{identifier(identifierSystem, value)}},
			{"active", true},
			{"type", list{code{terminology + "organization-type", kind, kindName}.concept()}},
			{"name", name},
			{"telecom", telecoms("520-555-0100", strings.TrimPrefix(id, "org-")+"@example.org", "work")},
			{"address", list{address(town{"Tucson", "85701"}, "100 Saguaro Circle", "work", time.Time{}, time.Time{})}},
			{"endpoint", endpointOf(id)},
		})
	}
	organization("org-health-system", healthSystem.display, "prov", "Healthcare Provider", npiSystem, npi(100))
	organization("org-laboratory", laboratory.display, "prov", "Healthcare Provider", "urn:oid:2.16.840.1.113883.4.7", "03D9999999")
	organization("org-pharmacy", pharmacy.display, "prov", "Healthcare Provider", npiSystem, npi(101))
	organization("org-exchange", transmitter.display, "prov", "Healthcare Provider", npiSystem, npi(102))
	for i, p := range insurers {
		organization(p.id, p.name, "pay", "Payer", own+"payer-id", fmt.Sprintf("SV%03d", i+1))
	}
	c.add(entry{typ: "Endpoint", id: "ep-health-system", at: founded}, obj{
		{"status", "active"},
		{"connectionType", code{terminology + "endpoint-connection-type", "hl7-fhir-rest", "HL7 FHIR"}.coding()},
		{"name", "Saguaro Valley Health FHIR API"},
		{"managingOrganization", healthSystem.json()},
		{"payloadType", list{code{terminology + "endpoint-payload-type", "any", "Any"}.concept()}},
		{"payloadMimeType", list{"application/fhir+json"}},
		{"address", own + "fhir"},
	})
	c.location("loc-hospital", hospital.display, "HOSP", "Hospital", "1 Saguaro Circle", town{"Tucson", "85701"}, healthSystem, founded)
	c.location("loc-pharmacy", pharmacy.display, "OUTPHARM", "outpatient pharmacy", "18 Ironwood Avenue", town{"Tucson", "85701"}, pharmacy, founded)
	c.location("loc-laboratory", laboratory.display, "HLAB", "hospital laboratory", "3 Saguaro Circle", town{"Tucson", "85701"}, laboratory, founded)
	for _, d := range specialists() {
		c.practitioner(d, founded)
	}
	for _, m := range catalogue() {
		c.add(entry{typ: "Medication", id: m.medicationID(), profile: "us-core-medication", at: founded}, obj{
			{"code", m.code.concept()},
			{"status", "active"},
			{"form", concept(m.form)},
		})
	}
	c.questionnaires(founded)
	c.provenance()
	return c.out
}

func endpointOf(id string) any {
	if id != "org-health-system" {
		return nil
	}
	return refs("Endpoint", "ep-health-system")
}

func (c *chart) location(id, name, kind, kindName, line string, t town, owner reference, at time.Time) {
	c.add(entry{typ: "Location", id: id, profile: "us-core-location", at: at}, obj{
		{"status", "active"},
		{"name", name},
		{"mode", "instance"},
		{"type", list{code{terminology + "v3-RoleCode", kind, kindName}.concept()}},
		{"telecom", telecoms("520-555-0101", "", "work")},
		{"address", address(t, line, "work", time.Time{}, time.Time{})},
		{"managingOrganization", owner.json()},
	})
}

// practitioner writes a Practitioner and the PractitionerRole that goes with it.
func (c *chart) practitioner(d doctor, at time.Time) {
	mail := strings.ToLower(d.given+"."+d.family) + "@example.org"
	c.add(entry{typ: "Practitioner", id: "pr-" + d.key, profile: "us-core-practitioner", at: at}, obj{
		{"identifier", list{identifier(npiSystem, d.npi), identifier(own+"staff", d.key)}},
		{"active", true},
		{"name", list{obj{{"use", "official"}, {"text", d.ref().display}, {"family", d.family}, {"given", list{d.given}}, {"suffix", list{d.credential}}}}},
		{"telecom", telecoms("520-555-0102", mail, "work")},
		{"address", list{address(town{"Tucson", "85701"}, "1 Saguaro Circle", "work", time.Time{}, time.Time{})}},
		{"qualification", list{obj{{"code", concept(d.credential)}}}},
	})
	c.add(entry{typ: "PractitionerRole", id: "role-" + d.key, profile: "us-core-practitionerrole", at: at}, obj{
		{"active", true},
		{"practitioner", d.ref().json()},
		{"organization", healthSystem.json()},
		{"code", concepts(d.role)},
		{"specialty", concepts(d.specialty)},
		{"location", refs("Location", d.place)},
		{"telecom", telecoms("520-555-0102", mail, "work")},
		{"endpoint", refs("Endpoint", "ep-health-system")},
	})
}

func telecoms(phone, mail, use string) list {
	var out list
	if phone != "" {
		out = append(out, obj{{"system", "phone"}, {"value", phone}, {"use", use}})
	}
	if mail != "" {
		out = append(out, obj{{"system", "email"}, {"value", mail}, {"use", use}})
	}
	return out
}

func address(t town, line, use string, from, to time.Time) obj {
	return obj{
		{"use", use}, {"line", list{line}}, {"city", t.city}, {"state", "AZ"},
		{"postalCode", t.postal}, {"country", "US"},
		{"period", obj{{"start", date(from)}, {"end", date(to)}}},
	}
}
