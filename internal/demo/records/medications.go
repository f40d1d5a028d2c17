package records

import (
	"slices"
	"time"
)

// prescriptions writes what is taken for chronic problems, courses for passing
// complaints, and what the pharmacy handed over.
func (r *record) prescriptions() {
	d := r.dice("prescriptions")
	var given []string
	for _, x := range r.problems {
		for i, key := range x.drugs {
			if slices.Contains(given, key) || i > 0 && !r.rich && d.chance(0.4) {
				continue
			}
			given = append(given, key)
			r.lasting(d, drugOf(key), x, i)
		}
	}
	for _, v := range r.visits {
		if v.ailment == nil || v.ailment.drug == "" {
			continue
		}
		m := drugOf(v.ailment.drug)
		if r.age(v.start) < 12 && m.key == "amoxicillin" {
			m = drugOf("amoxicillin-liquid")
		}
		if r.age(v.start) >= 12 || m.key == "amoxicillin-liquid" {
			r.course(m, v)
		}
	}
	if r.pregnant {
		if v := r.last(prenatal); v != nil {
			r.prescribe(prescription{drug: drugOf("folate"), visit: v, at: v.start, status: "active", reason: sct("77386006", "Pregnancy")})
		}
	}
	r.overTheCounter(d)
}

// prescription is what differs between one MedicationRequest and the next.
type prescription struct {
	drug
	visit     *visit
	at        time.Time
	status    string
	reason    code
	reasonRef string // Condition id
	reported  field  // who told, for medication taken without a prescription
}

// lasting writes the prescriptions of a drug taken for good: the first of the
// record, ended by a renewal, and the present one.
func (r *record) lasting(d dice, m drug, x problem, nth int) {
	begin := x.onset.AddDate(0, 3*nth, 0)
	if begin.Before(r.since) {
		begin = r.since
	}
	first := r.visitAfter(begin)
	if first == nil {
		return
	}
	p := prescription{drug: m, visit: first, at: first.start, status: "active", reason: x.snomed, reasonRef: r.problem[x.key]}
	renewal := r.visitAfter(r.end().AddDate(-1, 0, -d.between(0, 120)))
	if renewal != nil && renewal.start.After(first.start.AddDate(0, 6, 0)) {
		p.status = "completed"
		r.prescribe(p)
		p.visit, p.at, p.status = renewal, renewal.start, "active"
	}
	if !r.died.IsZero() {
		p.status = "stopped"
	}
	id := r.prescribe(p)
	r.dispense(d, p, id)
}

// visitAfter gives the first visit on or after a day.
func (r *record) visitAfter(day time.Time) *visit {
	for _, v := range r.visits {
		if !v.start.Before(day) {
			return v
		}
	}
	return nil
}

func (r *record) course(m drug, v *visit) {
	status := "completed"
	if v.start.After(r.world.today.AddDate(0, 0, -10)) {
		status = "active"
	}
	p := prescription{drug: m, visit: v, at: v.start, status: status, reason: v.ailment.snomed, reasonRef: v.diagnosis}
	id := r.prescribe(p)
	r.handOver(p, id, v.end.Add(50*time.Minute), 0)
}

// overTheCounter writes what patients say they take by themselves.
func (r *record) overTheCounter(d dice) {
	v := r.last(wellness)
	if v == nil || r.minor() && (r.role != child || r.age(v.start) < 6) || r.index >= blockSize && d.chance(0.6) {
		return
	}
	drug := drugOf("acetaminophen")
	if r.age(v.start) < 12 {
		drug.dose, drug.text = 1, "Take 1 tablet by mouth every 8 hours as needed for pain"
	}
	p := prescription{drug: drug, visit: v, at: v.start, status: "active", reason: sct("25064002", "Headache")}
	p.reported = field{"reportedBoolean", true}
	if r.minor() {
		p.reported = field{"reportedReference", r.kinRef(0).json()}
	}
	r.prescribe(p)
}

func (r *record) prescribe(p prescription) string {
	id := r.chart.id("rx")
	intent, requester := "order", p.visit.doctor.ref()
	reported := field{"reportedBoolean", false}
	if p.reported.name != "" {
		intent, reported, requester = "plan", p.reported, r.ref()
	}
	body := obj{
		{"identifier", list{identifier(own+"prescription", id)}},
		{"status", p.status},
		{"intent", intent},
		{"category", list{code{terminology + "medicationrequest-category", "community", "Community"}.concept()}},
		reported,
		p.medication(),
		{"subject", r.ref().bare()},
		{"encounter", p.visit.ref()},
		{"authoredOn", dateTime(p.at)},
		{"requester", requester.json()},
		{"reasonCode", list{p.reason.concept()}},
		{"reasonReference", refs("Condition", nonEmpty(p.reasonRef)...)},
		{"dosageInstruction", list{p.dosage()}},
	}
	if intent == "order" {
		body = append(body, field{"dispenseRequest", obj{
			{"validityPeriod", period(p.at, p.at.AddDate(1, 0, 0))},
			{"numberOfRepeatsAllowed", p.refills},
			{"quantity", quantity(float64(p.supply), 0, p.unit, p.ucum)},
			{"expectedSupplyDuration", quantity(p.days(), 0, "days", "d")},
		}})
	}
	r.add(entry{typ: "MedicationRequest", id: id, profile: "us-core-medicationrequest", at: p.at, author: requester}, body)
	return id
}

// days is how long one supply lasts.
func (m drug) days() float64 { return max(1, round(float64(m.supply)/(m.dose*float64(m.times)), 0)) }

// medication is the drug as a concept, or as a reference to a Medication.
func (m drug) medication() field {
	if m.byRef {
		return field{"medicationReference", reference{"Medication/" + m.medicationID(), m.code.display}.json()}
	}
	return field{"medicationCodeableConcept", m.code.concept()}
}

func (m drug) dosage() obj {
	repeat := obj{{"frequency", m.times}, {"period", 1}, {"periodUnit", "d"}}
	out := obj{{"sequence", 1}, {"text", m.text}, {"timing", obj{{"repeat", repeat}}}}
	if m.asNeeded {
		out = append(out, field{"asNeededBoolean", true})
	}
	route := sct("26643006", "Oral route")
	if m.unit == "puff" || m.form == "Inhalation Powder" {
		route = sct("447694001", "Respiratory tract route")
	}
	return append(out, field{"route", route.concept()},
		field{"doseAndRate", list{obj{{"type", code{terminology + "dose-rate-type", "ordered", "Ordered"}.concept()}, {"doseQuantity", quantity(m.dose, m.places, m.unit, m.ucum)}}}})
}

// dispense writes the last few fills of a lasting prescription.
func (r *record) dispense(d dice, p prescription, id string) {
	fills := 2
	if r.rich {
		fills = 4
	}
	for i := range fills {
		at := p.at.AddDate(0, 0, 1+i*int(p.days())).Add(time.Duration(d.between(-60, 60)) * time.Minute)
		if i > p.refills || !at.Before(r.end()) {
			return
		}
		r.handOver(p, id, at, i)
	}
}

func (r *record) handOver(p prescription, id string, at time.Time, nth int) {
	kind := code{actCode, "FFC", "First Fill - Complete"}
	if nth > 0 {
		kind = code{actCode, "RFC", "Refill - Complete"}
	}
	if !at.Before(r.world.today) {
		return
	}
	r.add(entry{typ: "MedicationDispense", id: r.chart.id("fill"), profile: "us-core-medicationdispense", at: at, author: pharmacist.ref()}, obj{
		{"status", "completed"},
		{"category", code{terminology + "medicationdispense-category", "community", "Community"}.concept()},
		p.medication(),
		{"subject", r.ref().bare()},
		{"context", p.visit.ref()},
		{"performer", list{obj{{"actor", pharmacist.ref().json()}}}},
		{"authorizingPrescription", refs("MedicationRequest", id)},
		{"type", kind.concept()},
		{"quantity", quantity(float64(p.supply), 0, p.unit, p.ucum)},
		{"daysSupply", quantity(p.days(), 0, "days", "d")},
		{"whenPrepared", dateTime(at.Add(-40 * time.Minute))},
		{"whenHandedOver", dateTime(at)},
		{"dosageInstruction", list{p.dosage()}},
	})
}
