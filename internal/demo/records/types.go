package records

import (
	"encoding/base64"
	"time"
)

// Code systems, by the names that the specifications give them.
const (
	loinc       = "http://loinc.org"
	snomed      = "http://snomed.info/sct"
	rxnorm      = "http://www.nlm.nih.gov/research/umls/rxnorm"
	cvx         = "http://hl7.org/fhir/sid/cvx"
	icd10       = "http://hl7.org/fhir/sid/icd-10-cm"
	cpt         = "http://www.ama-assn.org/go/cpt"
	ucum        = "http://unitsofmeasure.org"
	nucc        = "http://nucc.org/provider-taxonomy"
	npiSystem   = "http://hl7.org/fhir/sid/us-npi"
	terminology = "http://terminology.hl7.org/CodeSystem/"
	observation = terminology + "observation-category"
	nullFlavor  = terminology + "v3-NullFlavor"
	actCode     = terminology + "v3-ActCode"
	absentCodes = terminology + "data-absent-reason"
	usCodes     = "http://hl7.org/fhir/us/core/CodeSystem/"
	usCategory  = usCodes + "us-core-category"
	usCore      = "http://hl7.org/fhir/us/core/StructureDefinition/"
	absentURL   = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
	own         = "https://saguaro-valley-health.example.org/"
)

// code is one concept of a code system.
type code struct{ system, value, display string }

func (c code) coding() obj {
	return obj{{"system", c.system}, {"code", c.value}, {"display", c.display}}
}

// concept has no text of its own: the display says it already.
func (c code) concept() obj { return obj{{"coding", list{c.coding()}}} }

// concept is a CodeableConcept with a text and any number of codings.
func concept(text string, codes ...code) obj {
	codings := make(list, 0, len(codes))
	for _, c := range codes {
		codings = append(codings, c.coding())
	}
	return obj{{"coding", codings}, {"text", text}}
}

func concepts(codes ...code) list {
	out := make(list, 0, len(codes))
	for _, c := range codes {
		out = append(out, c.concept())
	}
	return out
}

// unknown is the code US Core asks for where a required coded value is missing
// (US Core 6.1.0, general guidance, missing data).
func unknown() obj { return code{absentCodes, "unknown", "Unknown"}.concept() }

// absent stands where a required element without a code is missing.
func absent(reason string) obj {
	return obj{{"extension", list{obj{{"url", absentURL}, {"valueCode", reason}}}}}
}

// reference names a resource; display may be empty.
type reference struct{ target, display string }

func (r reference) json() any {
	if r.target == "" {
		return nil
	}
	return obj{{"reference", r.target}, {"display", r.display}}
}

func ref(typ, id string) any {
	if id == "" {
		return nil
	}
	return obj{{"reference", typ + "/" + id}}
}

// bare is the reference without its display, where that would only repeat.
func (r reference) bare() any { return reference{r.target, ""}.json() }

func refs(typ string, ids ...string) list {
	out := make(list, 0, len(ids))
	for _, id := range ids {
		out = append(out, ref(typ, id))
	}
	return out
}

func quantity(value float64, places int, unit, code string) obj {
	return obj{{"value", dec{value, places}}, {"unit", unit}, {"system", ucum}, {"code", code}}
}

func money(value float64) obj { return obj{{"value", dec{value, 2}}, {"currency", "USD"}} }

func identifier(system, value string) obj { return obj{{"system", system}, {"value", value}} }

func period(start, end time.Time) obj {
	return obj{{"start", dateTime(start)}, {"end", dateTime(end)}}
}

func extension(url, kind string, value any) obj { return obj{{"url", url}, {kind, value}} }

func narrative(text string) obj {
	return obj{{"status", "generated"}, {"div", `<div xmlns="http://www.w3.org/1999/xhtml"><p>` + text + `</p></div>`}}
}

func encoded(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02")
}

// dateTime serves for instant too: it has seconds and a zone.
func dateTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02T15:04:05-07:00")
}

func updated(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
