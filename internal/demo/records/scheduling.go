package records

import (
	"fmt"
	"slices"
	"time"
)

// appointmentKind is a v2-0276 appointment reason.
func appointmentKind(value, display string) code {
	return code{terminology + "v2-0276", value, display}
}

var (
	checkUp      = appointmentKind("CHECKUP", "A routine check-up, such as an annual physical")
	followUpKind = appointmentKind("FOLLOWUP", "A follow up visit from a previous appointment")
	walkIn       = appointmentKind("WALKIN", "A previously unscheduled walk-in visit")
)

// appointment is what differs between one Appointment and the next.
type appointment struct {
	status      string
	answer      string // of the patient
	kind        code
	about       string
	start       time.Time
	length      time.Duration
	made        time.Time
	slot        string
	cancelled   code
	doctor      doctor
	place       reference
	instruction string
	remote      bool
}

// appointments writes the visits of the last year or two as they were booked, the
// ones that did not take place, and those to come.
func (r *record) appointments() {
	d := r.dice("appointments")
	from := r.world.today.AddDate(-1, 0, 0)
	if r.rich {
		from = r.world.today.AddDate(-2, 0, 0)
	}
	for _, v := range r.visits {
		if v.start.Before(from) || v.kind == inpatient {
			continue
		}
		a := appointment{
			status: "fulfilled", answer: "accepted", kind: followUpKind, about: "Follow-up visit", start: v.start, length: v.end.Sub(v.start).Round(5 * time.Minute),
			made: v.start.AddDate(0, 0, -d.between(3, 40)), doctor: v.doctor, place: v.place, remote: v.kind == remote,
		}
		switch v.kind {
		case wellness:
			a.kind, a.about = checkUp, "Check-up"
		case acute:
			a.kind, a.about, a.made = walkIn, "New complaint", v.start.Add(-3*time.Hour)
		case prenatal:
			a.about = "Antenatal visit"
		}
		if v.booked {
			a.slot = r.ownSlot(v.start, "busy")
		}
		r.book(a)
		if d.chance(0.12) { // one that did not take place
			a.status, a.answer, a.slot = "cancelled", "declined", ""
			a.cancelled = code{terminology + "appointment-cancellation-reason", "pat-cpp", "Patient: Canceled via Patient Portal"}
			if d.chance(0.3) {
				a.status, a.answer, a.cancelled = "noshow", "needs-action", code{}
			}
			a.start = weekday(a.start.AddDate(0, 0, -9))
			a.made = a.start.AddDate(0, 0, -12)
			if a.start.After(r.since) {
				r.book(a)
			}
		}
	}
	if r.died.IsZero() {
		r.comingAppointments(d)
	}
}

// comingAppointments books up to three visits in the slots kept for the patient.
func (r *record) comingAppointments(d dice) {
	n := d.between(0, 2)
	if r.index < blockSize || r.rich {
		n = d.between(2, perPatient)
	}
	times := make([]time.Time, 0, perPatient)
	for i := range n {
		times = append(times, r.world.comingSlot(r.plan, i))
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, start := range times {
		a := appointment{
			status: "booked", answer: "accepted", kind: followUpKind, about: "Follow-up visit", start: start, length: slotLength,
			made: r.world.today.AddDate(0, 0, -d.between(1, 25)).Add(10 * time.Hour), doctor: r.doctor(), place: r.clinic.location(),
			instruction: "Please bring a list of the medicines you take.",
		}
		switch {
		case i == 1 && r.age(start) < 14:
			a.kind, a.about, a.instruction = checkUp, "Check-up", "Please bring the vaccination record."
		case i == 1:
			a.kind, a.about, a.instruction = checkUp, "Check-up with blood test", "Please do not eat or drink anything but water for eight hours before the visit."
		case i == 2:
			a.status, a.answer, a.about, a.remote = "pending", "needs-action", "Video visit, to be confirmed", true
		}
		state := "busy"
		if a.status == "pending" {
			state = "busy-tentative"
		}
		a.slot = r.ownSlot(start, state)
		r.book(a)
	}
}

// ownSlot writes the slot of an appointment; open ones belong to the clinic.
func (r *record) ownSlot(start time.Time, status string) string {
	id := slotID(r.doctor(), start)
	r.add(entry{typ: "Slot", id: id, at: r.world.today.AddDate(0, 0, -2), author: healthSystem}, obj{
		{"serviceType", concepts(generalPractice)},
		{"schedule", ref("Schedule", r.doctor().schedule())},
		{"status", status},
		{"start", dateTime(start)},
		{"end", dateTime(start.Add(slotLength))},
	})
	return id
}

func (r *record) book(a appointment) {
	id := r.chart.id("appt")
	people := list{participant(r.ref(), a.answer)}
	if r.minor() {
		people = append(people, participant(r.kinRef(0), a.answer))
	}
	people = append(people, participant(a.doctor.ref(), "accepted"))
	if !a.remote {
		people = append(people, participant(a.place, "accepted"))
	}
	body := obj{
		{"identifier", list{identifier(own+"appointment", id)}},
		{"status", a.status},
	}
	if a.cancelled.value != "" {
		body = append(body, field{"cancelationReason", a.cancelled.concept()})
	}
	body = append(body,
		field{"serviceCategory", list{serviceCategory.concept()}},
		field{"serviceType", concepts(generalPractice)},
		field{"specialty", concepts(a.doctor.specialty)},
		field{"appointmentType", a.kind.concept()},
		field{"description", a.about},
		field{"start", dateTime(a.start)},
		field{"end", dateTime(a.start.Add(a.length))},
		field{"minutesDuration", int(a.length.Minutes())},
		field{"slot", refs("Slot", nonEmpty(a.slot)...)},
		field{"created", dateTime(a.made)},
		field{"patientInstruction", a.instruction},
		field{"participant", people})
	changed := a.made
	if a.status == "fulfilled" || a.status == "noshow" {
		changed = a.start.Add(a.length)
	}
	r.add(entry{typ: "Appointment", id: id, at: changed, author: healthSystem}, body)
}

func participant(who reference, status string) obj {
	return obj{{"actor", who.json()}, {"required", "required"}, {"status", status}}
}

// groupVisit writes the visits in which two patients of different families take
// part. The later one of the two writes them, so that both exist.
func (r *record) groupVisit() {
	if r.role != groupPeer || !r.died.IsZero() {
		return
	}
	peer := r.world.plan(r.index - int(groupPeer) + int(adult))
	teacher := r.clinic.doctors[groupNurse]
	r.add(entry{typ: "Group", id: fmt.Sprintf("group-%04d", r.index/blockSize+1), at: r.world.today.AddDate(0, 0, -31), author: teacher.ref()}, obj{
		{"active", true},
		{"type", "person"},
		{"actual", true},
		{"code", sct("698360004", "Diabetes self management plan").concept()},
		{"name", "Living with diabetes"},
		{"quantity", 2},
		{"managingEntity", healthSystem.json()},
		{"member", list{obj{{"entity", peer.ref().json()}}, obj{{"entity", r.ref().json()}}}},
	})
	past, coming := r.world.groupVisits(r.index / blockSize)
	for i, start := range []time.Time{past, coming} {
		length := 90 * time.Minute
		slot := slotID(teacher, start)
		r.add(entry{typ: "Slot", id: slot, at: r.world.today.AddDate(0, 0, -30), author: healthSystem}, obj{
			{"serviceType", concepts(code{terminology + "service-type", "313", "Diabetes Education"})},
			{"schedule", ref("Schedule", teacher.schedule())},
			{"status", "busy"},
			{"start", dateTime(start)},
			{"end", dateTime(start.Add(length))},
			{"comment", "Group visit"},
		})
		status := "fulfilled"
		if start.After(r.world.today) {
			status = "booked"
		}
		r.add(entry{typ: "Appointment", id: fmt.Sprintf("group-%04d-%d", r.index/blockSize+1, i+1), at: r.world.today.AddDate(0, 0, -31), author: teacher.ref()}, obj{
			{"status", status},
			{"serviceCategory", list{serviceCategory.concept()}},
			{"serviceType", concepts(code{terminology + "service-type", "313", "Diabetes Education"})},
			{"specialty", concepts(teacher.specialty)},
			{"appointmentType", followUpKind.concept()},
			{"description", "Group visit: living with diabetes"},
			{"start", dateTime(start)},
			{"end", dateTime(start.Add(length))},
			{"minutesDuration", 90},
			{"slot", refs("Slot", slot)},
			{"created", dateTime(r.world.today.AddDate(0, 0, -31))},
			{"participant", list{
				participant(peer.ref(), "accepted"), participant(r.ref(), "accepted"),
				participant(teacher.ref(), "accepted"), participant(r.clinic.location(), "accepted"),
			}},
		})
	}
}
