package records

import (
	"crypto/sha1" //nolint:gosec // FHIR Attachment.hash is SHA-1 by definition
	"fmt"
	"strings"
	"time"
)

// The kinds of notes that US Core names (Clinical Notes).
var (
	dischargeSummary = loincCode("18842-5", "Discharge summary")
	consultNote      = loincCode("11488-4", "Consult note")
	historyPhysical  = loincCode("34117-2", "History and physical note")
	progressNote     = loincCode("11506-3", "Progress note")
	procedureNote    = loincCode("28570-0", "Procedure note")
	imagingStudy     = loincCode("18748-4", "Diagnostic imaging study")
	laboratoryReport = loincCode("11502-2", "Laboratory report")
	pathologyStudy   = loincCode("11526-1", "Pathology study")
)

var mimeType = code{"http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode", "urn:ihe:iti:xds:2017:mimeTypeSufficient", "mimeType Sufficient"}

// document is what differs between one DocumentReference and the next.
type document struct {
	kind     code
	visit    *visit
	from, to time.Time
	author   reference
	text     []string
	asPDF    bool // a Binary beside it, else the text inside
}

// notes writes the documents of the latest visits and of a stay in hospital.
func (r *record) notes() {
	written := 0
	for i := len(r.visits) - 1; i >= 0 && written < 3; i-- {
		if v := r.visits[i]; v.kind != inpatient {
			written++
			r.progress(v)
		}
	}
	if v := r.last(inpatient); v != nil {
		r.stay(v)
	}
	if r.rich && len(r.labs) > 0 {
		r.labPrint(r.labs[len(r.labs)-1])
	}
	r.studies()
}

func (r *record) opening(v *visit) string {
	return fmt.Sprintf("%s is a %.0f year old %s.", r.given, r.age(v.start)-0.5, r.pronoun("woman", "man"))
}

func (r *record) progress(v *visit) {
	opening := r.opening(v)
	if r.age(v.start) < 18 {
		opening = r.given + " comes with " + r.pronoun("her", "his") + " family."
	}
	lines := []string{opening}
	switch {
	case v.ailment != nil:
		lines = append(lines, "Complaint: "+strings.ToLower(v.ailment.snomed.display)+".", "Plan: rest, fluids, treatment as ordered. Return if not better in a week.")
	case v.kind == wellness:
		lines = append(lines, "Feels well. Examination without new findings.", "Plan: vaccinations as due, next check-up in a year.")
	default:
		lines = append(lines, "Takes the medicines as prescribed. No side effects.", "Plan: continue, next visit as booked.")
	}
	kind := progressNote
	if v.kind == wellness && v.number%2 == 0 {
		kind = historyPhysical
	}
	r.document(document{kind: kind, visit: v, from: v.start, to: v.end, author: v.doctor.ref(), text: lines})
}

func (r *record) stay(v *visit) {
	r.document(document{kind: historyPhysical, visit: v, from: v.start, to: v.start.Add(time.Hour), author: hospitalist.ref(), text: []string{r.opening(v), "Admitted with fever, cough and shortness of breath.", "Assessment: pneumonia."}})
	r.document(document{kind: consultNote, visit: v, from: v.start.Add(4 * time.Hour), to: v.start.Add(5 * time.Hour), author: cardiologist.ref(), text: []string{"Asked to see for known heart failure.", "No sign of decompensation. Continue furosemide, daily weight."}})
	r.document(document{kind: dischargeSummary, visit: v, from: v.start, to: v.end, author: hospitalist.ref(), asPDF: true, text: []string{
		r.opening(v), fmt.Sprintf("Admitted on %s, discharged on %s.", date(v.start), date(v.end)),
		"Diagnosis: pneumonia, treated with antibiotics. Afebrile for 24 hours.",
		"Medicines at discharge: as before. Visit with the primary care provider in ten days.",
	}})
}

// labPrint is the printed report of a panel.
func (r *record) labPrint(x labResult) {
	lines := []string{"Report " + x.report, "Collected " + date(x.visit.start)}
	for _, key := range x.panel.members {
		a := analyteOf(key)
		lines = append(lines, fmt.Sprintf("%s: %.*f %s", strings.SplitN(a.code.display, " [", 2)[0], a.places, x.values[key], a.unit))
	}
	r.document(document{kind: laboratoryReport, visit: x.visit, from: x.visit.start, to: x.visit.end, author: laboratory, asPDF: true, text: lines})
}

// document writes a DocumentReference, with its Binary when it is a PDF, and
// gives the attachment.
func (r *record) document(x document) obj {
	id := r.chart.id("doc")
	at := x.to.Add(30 * time.Minute)
	attachment := r.attachment(x, id, at)
	body := obj{
		{"identifier", list{identifier(own+"document", id)}},
		{"status", "current"},
		{"docStatus", "final"},
		{"type", x.kind.concept()},
		{"category", list{code{usCodes + "us-core-documentreference-category", "clinical-note", "Clinical Note"}.concept()}},
		{"subject", r.ref().bare()},
		{"date", dateTime(at)},
		{"author", list{x.author.json()}},
		{"custodian", healthSystem.json()},
		{"content", list{obj{{"attachment", attachment}, {"format", mimeType.coding()}}}},
		{"context", obj{{"encounter", list{x.visit.ref()}}, {"period", period(x.from, x.to)}}},
	}
	r.add(entry{typ: "DocumentReference", id: id, profile: "us-core-documentreference", at: at, author: x.author}, body)
	return attachment
}

func (r *record) attachment(x document, owner string, at time.Time) obj {
	title := x.kind.display
	if !x.asPDF {
		text := strings.Join(x.text, "\n") + "\n"
		return obj{{"contentType", "text/plain; charset=utf-8"}, {"language", "en"}, {"data", encoded([]byte(text))}, {"title", title}, {"creation", dateTime(at)}}
	}
	content := pdf(title, append([]string{r.fullName(), ""}, x.text...))
	id := r.chart.id("bin")
	r.add(entry{typ: "Binary", id: id, at: at, author: x.author}, obj{
		{"contentType", "application/pdf"},
		{"securityContext", ref("DocumentReference", owner)},
		{"data", encoded(content)},
	})
	sum := sha1.Sum(content) //nolint:gosec // see the import
	return obj{{"contentType", "application/pdf"}, {"language", "en"}, {"url", r.address(x.kind, id)}, {"size", len(content)}, {"hash", encoded(sum[:])}, {"title", title}, {"creation", dateTime(at)}}
}

// address is where the file of a document is found. Reports of laboratories and
// of imaging lie beside the FHIR API, at a whole URL where the base is known.
func (r *record) address(kind code, binary string) string {
	if kind != laboratoryReport && kind != imagingStudy {
		return "Binary/" + binary
	}
	if base := r.chart.world.base; base != "" {
		return base + "/documents/" + binary + ".pdf"
	}
	return "documents/" + binary + ".pdf"
}
