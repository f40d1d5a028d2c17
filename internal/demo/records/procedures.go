package records

import (
	"fmt"
	"time"
)

// procedures writes what was done, and the implants it left behind.
func (r *record) procedures() {
	d := r.dice("procedures")
	screened := false
	for _, v := range r.visits {
		switch {
		case v.ailment != nil && v.ailment.procedure != nil:
			r.procedure(procedureOf{visit: v, code: *v.ailment.procedure, start: v.start.Add(10 * time.Minute), reasonRef: v.diagnosis, doctor: v.doctor})
		case v.kind == wellness && r.age(v.start) >= 50 && !screened:
			screened = true
			r.colonoscopy(v)
		case v.kind == followUp && v.number%3 == 0:
			r.procedure(procedureOf{visit: v, code: sct("430193006", "Medication reconciliation"), start: v.start.Add(5 * time.Minute), doctor: v.doctor})
		case v.kind == prenatal:
			r.procedure(procedureOf{visit: v, code: sct("268445003", "Ultrasound scan - obstetric"), start: v.start.Add(5 * time.Minute), doctor: v.doctor})
		}
	}
	if _, ill := r.has("arthrosis", r.end()); ill && (r.index == int(elder) || d.chance(0.25)) {
		r.implant(d)
	}
}

type procedureOf struct {
	visit      *visit
	code       code
	start, end time.Time
	reasonRef  string
	basedOn    string
	device     string
	doctor     doctor
}

func (r *record) procedure(x procedureOf) string {
	id := r.chart.id("proc")
	performed := field{"performedDateTime", dateTime(x.start)}
	if !x.end.IsZero() {
		performed = field{"performedPeriod", period(x.start, x.end)}
	}
	body := obj{
		{"basedOn", refs("ServiceRequest", nonEmpty(x.basedOn)...)},
		{"status", "completed"},
		{"code", x.code.concept()},
		{"subject", r.ref().bare()},
	}
	if x.visit != nil {
		body = append(body, field{"encounter", x.visit.ref()})
	}
	body = append(body, performed,
		field{"performer", list{obj{{"actor", x.doctor.ref().json()}}}},
		field{"location", hospital.bare()},
		field{"reasonReference", refs("Condition", nonEmpty(x.reasonRef)...)})
	if x.device != "" {
		body = append(body, field{"focalDevice", list{obj{
			{"action", sct("129337003", "Implantation - action").concept()}, {"manipulated", ref("Device", x.device)},
		}}})
	}
	r.add(entry{typ: "Procedure", id: id, profile: "us-core-procedure", at: maxTime(x.start, x.end), author: x.doctor.ref()}, body)
	return id
}

// colonoscopy is ordered at a check-up and done some weeks later; the pathology
// report is among the notes.
func (r *record) colonoscopy(v *visit) {
	day := weekday(v.start.AddDate(0, 0, 24))
	if !day.Before(r.end()) {
		return
	}
	what := sct("73761001", "Colonoscopy")
	order := r.request(v, requestOf{category: sct("387713003", "Surgical procedure"), code: what, status: "completed", occurrence: day, reason: sct("275978004", "Screening for malignant neoplasm of colon"), performer: hospitalist.ref()})
	id := r.procedure(procedureOf{visit: v, code: what, start: day, end: day.Add(40 * time.Minute), basedOn: order, doctor: hospitalist})
	r.scope = scope{visit: v, day: day, procedure: id}
}

// scope remembers the colonoscopy for its notes.
type scope struct {
	visit     *visit
	day       time.Time
	procedure string
}

func (r *record) implant(d dice) {
	onset, _ := r.has("arthrosis", r.end())
	day := weekday(maxTime(onset.AddDate(2, 0, 0), r.since.AddDate(0, 8, 0)))
	if !day.Before(r.end().AddDate(0, -1, 0)) {
		return
	}
	id := r.chart.id("device")
	start := day.Add(8 * time.Hour)
	serial, lot := "KN"+d.digits(6), "L"+d.digits(5)
	made, expires := day.AddDate(0, -10, 0), day.AddDate(4, 2, 0)
	di := "09504000059118" // a number that GS1 keeps for examples
	r.add(entry{typ: "Device", id: id, profile: "us-core-implantable-device", at: start.Add(3 * time.Hour), author: surgeon.ref()}, obj{
		{"udiCarrier", list{obj{
			{"deviceIdentifier", di},
			{"issuer", "http://hl7.org/fhir/NamingSystem/gs1"},
			{"carrierHRF", fmt.Sprintf("(01)%s(11)%s(17)%s(10)%s(21)%s", di, made.Format("060102"), expires.Format("060102"), lot, serial)},
			{"entryType", "barcode"},
		}}},
		{"status", "active"},
		{"distinctIdentifier", "A9999" + d.digits(8)},
		{"manufacturer", "Saguaro Orthopedics (fictional)"},
		{"manufactureDate", date(made)},
		{"expirationDate", date(expires)},
		{"lotNumber", lot},
		{"serialNumber", serial},
		{"deviceName", list{obj{{"name", "Total knee system"}, {"type", "user-friendly-name"}}}},
		{"modelNumber", "TK-2"},
		{"type", sct("109228008", "Knee joint prosthesis").concept()},
		{"patient", r.ref().bare()},
	})
	r.procedure(procedureOf{code: sct("609588000", "Total knee replacement"), start: start, end: start.Add(110 * time.Minute), reasonRef: r.problem["arthrosis"], device: id, doctor: surgeon})
}
