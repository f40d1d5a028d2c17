package records

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"time"
)

// The sections of DiagnosticReport for notes (US Core DiagnosticReport Category).
var (
	cardiology = loincCode("LP29708-2", "Cardiology")
	pathology  = loincCode("LP7839-6", "Pathology")
	radiology  = loincCode("LP29684-5", "Radiology")
)

// study is an examination that ends in a written report.
type study struct {
	section  code
	code     code
	note     code // of the DocumentReference
	visit    *visit
	at       time.Time
	doctor   doctor
	findings []finding
	trace    bool // an ECG strip beside it
}

type finding struct {
	code     code
	category code
	value    field
}

var (
	imagingCategory   = code{observation, "imaging", "Imaging"}
	procedureCategory = code{observation, "procedure", "Procedure"}
	impression        = loincCode("19005-8", "Radiology Imaging study [Impression] (narrative)")
)

// studies writes X-rays, ECGs and pathology reports.
func (r *record) studies() {
	d := r.dice("studies")
	if v := r.last(inpatient); v != nil {
		r.study(study{section: radiology, code: loincCode("36643-5", "XR Chest 2 Views"), note: imagingStudy, visit: v, at: v.start.Add(2 * time.Hour), doctor: radiologist, findings: []finding{
			{impression, imagingCategory, field{"valueString", "Consolidation of the right lower lobe, as in pneumonia. No effusion."}},
		}})
	}
	if r.pregnant {
		if v := r.last(prenatal); v != nil {
			r.study(study{section: radiology, code: loincCode("11525-3", "US Pelvis and Fetus for pregnancy"), note: imagingStudy, visit: v, at: v.start, doctor: radiologist, findings: []finding{
				{impression, imagingCategory, field{"valueString", "Single living fetus, size as expected."}},
			}})
		}
	}
	_, fibrillation := r.has("fibrillation", r.end())
	_, coronary := r.has("coronary", r.end())
	if v := r.last(wellness, followUp); v != nil && r.age(v.start) > 40 && (fibrillation || coronary || r.index == 0 || d.chance(0.15)) {
		text := "Sinus rhythm. Normal ECG."
		if fibrillation {
			text = "Atrial fibrillation, rate controlled."
		}
		value := field{"valueQuantity", quantity(round(d.normal(410, 12), 0), 0, "ms", "ms")}
		if fibrillation { // no steady interval to measure
			value = field{"dataAbsentReason", code{absentCodes, "not-performed", "Not Performed"}.concept()}
		}
		r.study(study{section: cardiology, code: loincCode("11524-6", "EKG study"), note: progressNote, visit: v, at: v.start.Add(8 * time.Minute), doctor: cardiologist, trace: true, findings: []finding{
			{loincCode("8601-7", "EKG impression"), procedureCategory, field{"valueString", text}},
			{loincCode("8634-8", "Q-T interval"), procedureCategory, value},
		}})
	}
	if s := r.scope; s.procedure != "" {
		r.document(document{kind: procedureNote, visit: s.visit, from: s.day, to: s.day.Add(40 * time.Minute), author: hospitalist.ref(), text: []string{"Colonoscopy to the cecum. One small polyp removed.", "No complications."}})
		if at := s.day.AddDate(0, 0, 3); at.Before(r.end()) {
			r.study(study{section: pathology, code: loincCode("60568-3", "Pathology Synoptic report"), note: pathologyStudy, visit: s.visit, at: at, doctor: pathologist, findings: []finding{
				{loincCode("22637-3", "Pathology report final diagnosis Narrative"), code{observation, "laboratory", "Laboratory"}, field{"valueString", "Tubular adenoma, completely removed. No malignancy."}},
			}})
		}
	}
}

// study writes the findings, the report, and the document that carries the
// same file: whoever looks for notes in either place finds it.
func (r *record) study(s study) {
	results, lines := list{}, []string{s.code.display + ", " + date(s.at)}
	for _, f := range s.findings {
		results = append(results, ref("Observation", r.finding(s, f)))
		if text, ok := f.value.value.(string); ok {
			lines = append(lines, text)
		}
	}
	attachment := r.document(document{kind: s.note, visit: s.visit, from: s.at, to: s.at.Add(time.Hour), author: s.doctor.ref(), text: lines, asPDF: true})
	var media list
	if s.trace {
		media = list{obj{{"comment", "Lead II"}, {"link", ref("Media", r.strip(s))}}}
	}
	id := r.chart.id("report")
	issued := s.at.Add(90 * time.Minute)
	r.add(entry{typ: "DiagnosticReport", id: id, profile: "us-core-diagnosticreport-note", at: issued, author: s.doctor.ref()}, obj{
		{"identifier", list{identifier(own+"report", id)}},
		{"status", "final"},
		{"category", list{s.section.concept()}},
		{"code", s.code.concept()},
		{"subject", r.ref().bare()},
		{"encounter", s.visit.ref()},
		{"effectiveDateTime", dateTime(s.at)},
		{"issued", dateTime(issued)},
		{"performer", list{s.doctor.ref().json()}},
		{"resultsInterpreter", list{s.doctor.ref().bare()}},
		{"result", results},
		{"media", media},
		{"conclusion", lines[len(lines)-1]},
		{"presentedForm", list{attachment}},
	})
}

func (r *record) finding(s study, f finding) string {
	id := r.chart.id("result")
	profile := "us-core-observation-clinical-result"
	r.add(entry{typ: "Observation", id: id, profile: profile, at: s.at.Add(time.Hour), group: "Observation/" + f.category.value, author: s.doctor.ref()}, obj{
		{"status", "final"},
		{"category", list{f.category.concept()}},
		{"code", f.code.concept()},
		{"subject", r.ref().bare()},
		{"encounter", s.visit.ref()},
		{"effectiveDateTime", dateTime(s.at)},
		{"performer", list{s.doctor.ref().bare()}},
		f.value,
	})
	return id
}

// strip writes the ECG trace as a Media with a small picture in it.
func (r *record) strip(s study) string {
	id := r.chart.id("media")
	r.add(entry{typ: "Media", id: id, at: s.at, author: s.doctor.ref()}, obj{
		{"status", "completed"},
		{"type", code{terminology + "media-type", "image", "Image"}.concept()},
		{"subject", r.ref().bare()},
		{"encounter", s.visit.ref()},
		{"createdDateTime", dateTime(s.at)},
		{"operator", s.doctor.ref().bare()},
		{"width", stripWidth}, {"height", stripHeight},
		{"content", obj{{"contentType", "image/png"}, {"data", encoded(ecg())}, {"title", "ECG strip, lead II"}}},
	})
	return id
}

const stripWidth, stripHeight = 160, 40

// ecg draws four heart beats.
func ecg() []byte {
	picture := image.NewPaletted(image.Rect(0, 0, stripWidth, stripHeight), color.Palette{color.White, color.Black})
	previous := stripHeight / 2
	for x := range stripWidth {
		t := float64(x%40) / 40
		wave := 3*bump(t, 0.2, 0.04) - 3*bump(t, 0.36, 0.012) + 18*bump(t, 0.4, 0.014) - 5*bump(t, 0.45, 0.014) + 5*bump(t, 0.68, 0.06)
		y := int(clamp(26-wave, 0, stripHeight-1))
		for i := min(y, previous); i <= max(y, previous); i++ {
			picture.SetColorIndex(x, i, 1)
		}
		previous = y
	}
	var out bytes.Buffer
	_ = png.Encode(&out, picture) // a buffer takes everything
	return out.Bytes()
}

func bump(t, at, width float64) float64 { return math.Exp(-(t - at) * (t - at) / (2 * width * width)) }
