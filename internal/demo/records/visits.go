package records

import (
	"slices"
	"time"
)

// visitKind says why somebody was seen.
type visitKind int

const (
	wellness visitKind = iota // yearly check-up, well-child visit
	followUp                  // of chronic problems
	acute                     // a new complaint
	remote                    // follow-up by video
	inpatient
	prenatal
)

// visit is one past meeting with the health system.
type visit struct {
	kind       visitKind
	number     int
	id         string // of the Encounter
	start, end time.Time
	doctor     doctor
	place      reference
	ailment    *ailment
	diagnosis  string // id of the encounter diagnosis, once written
	booked     bool   // has a slot in the grid
}

func (v *visit) ref() any { return ref("Encounter", v.id) }

var (
	ambulatory = code{actCode, "AMB", "ambulatory"}
	virtual    = code{actCode, "VR", "virtual"}
	inHospital = code{actCode, "IMP", "inpatient encounter"}
)

// visits works out when the patient was seen, oldest first.
func (p *plan) visits() []*visit {
	d := p.dice("visits")
	var out []*visit
	add := func(kind visitKind, day time.Time) *visit {
		day = weekday(day)
		start := day.Add(timeOfDay(d.IntN(slotsPerDay)))
		if start.Before(p.since) || !start.Before(p.end()) {
			return nil
		}
		v := &visit{kind: kind, start: start, end: start.Add(25 * time.Minute), doctor: p.doctor(), place: p.clinic.location()}
		out = append(out, v)
		return v
	}
	for _, day := range p.wellnessDays(d) {
		add(wellness, day)
	}
	p.followUps(d, add)
	p.acuteVisits(d, add)
	if p.role == elder && (p.index < blockSize || d.chance(0.3)) {
		if v := add(inpatient, p.world.today.AddDate(0, -d.between(6, 16), -d.between(0, 27))); v != nil {
			v.doctor, v.place = hospitalist, hospital
			v.end = v.start.AddDate(0, 0, d.between(2, 6)).Add(5 * time.Hour)
		}
	}
	if p.pregnant {
		for _, weeks := range []int{16, 10, 5} {
			if v := add(prenatal, p.world.today.AddDate(0, 0, -7*weeks)); v != nil {
				v.doctor, v.place = obstetrician, hospital
			}
		}
	}
	p.recentVisit(d, &out)
	slices.SortStableFunc(out, func(a, b *visit) int { return a.start.Compare(b.start) })
	out = slices.CompactFunc(out, func(a, b *visit) bool { return a.start.Equal(b.start) })
	for i, v := range out {
		v.number = i + 1
	}
	return out
}

// wellnessDays follows the schedule of well-child visits (2 weeks to 30 months,
// then yearly); adults come yearly.
func (p *plan) wellnessDays(d dice) []time.Time {
	var out []time.Time
	for _, days := range []int{14, 61, 122, 183, 274, 366, 457, 548, 731, 914} {
		if day := p.birth.AddDate(0, 0, days+d.between(0, 9)); day.After(p.since) {
			out = append(out, day)
		}
	}
	day := p.since
	if third := p.birth.AddDate(3, 0, 5); third.After(day) {
		day = third
	}
	for ; day.Before(p.end()); day = day.AddDate(1, 0, d.between(-12, 20)) {
		out = append(out, day)
	}
	return out
}

func (p *plan) followUps(d dice, add func(visitKind, time.Time) *visit) {
	if len(p.problems) == 0 {
		return
	}
	step := 12
	if _, diabetic := p.has("diabetes", p.end()); diabetic || len(p.problems) > 3 {
		step = 6
	}
	if p.rich {
		step = 3
	}
	for day := p.since.AddDate(0, step/2, 0); day.Before(p.end()); day = day.AddDate(0, step, d.between(-8, 8)) {
		kind := followUp
		if !p.rich && d.chance(0.2) {
			kind = remote
		}
		if v := add(kind, day); v != nil && kind == remote {
			v.end = v.start.Add(15 * time.Minute)
		}
	}
}

func (p *plan) acuteVisits(d dice, add func(visitKind, time.Time) *visit) {
	gap := 760 // days between complaints
	if p.minor() {
		gap = 400
	}
	for day := p.since.AddDate(0, 0, d.between(20, gap)); day.Before(p.end()); day = day.AddDate(0, 0, d.between(gap/3, gap*5/3)) {
		young := p.age(day) < 18
		a := &ailments[d.IntN(len(ailments))]
		for (young && !a.young) || (!young && !a.grown) {
			a = &ailments[d.IntN(len(ailments))]
		}
		if v := add(acute, day); v != nil {
			v.ailment = a
		}
	}
}

// recentVisit books one visit of the last four weeks in the patient's own slot,
// in place of what chance put into those weeks.
func (p *plan) recentVisit(d dice, out *[]*visit) {
	from := p.world.past[pastDays-1]
	*out = slices.DeleteFunc(*out, func(v *visit) bool { return v.start.After(from) && v.kind != inpatient })
	if !p.died.IsZero() || (p.index >= blockSize && d.chance(0.45)) {
		return
	}
	start := p.world.recentSlot(p)
	if start.Before(p.since) {
		return
	}
	kind := followUp
	if len(p.problems) == 0 {
		kind = wellness
	}
	*out = append(*out, &visit{kind: kind, start: start, end: start.Add(25 * time.Minute), doctor: p.doctor(), place: p.clinic.location(), booked: true})
}

// encounterType gives the SNOMED CT kind of a visit.
func (v *visit) encounterType() code {
	switch v.kind {
	case wellness:
		return sct("410620009", "Well child visit")
	case acute:
		return sct("185345009", "Encounter for symptom")
	case remote:
		return sct("448337001", "Telemedicine consultation with patient")
	case inpatient:
		return sct("32485007", "Hospital admission")
	case prenatal:
		return sct("424441002", "Prenatal initial visit")
	}
	return sct("390906007", "Follow-up encounter")
}

func (v *visit) class() code {
	switch v.kind {
	case remote:
		return virtual
	case inpatient:
		return inHospital
	}
	return ambulatory
}

// encounters writes an Encounter per visit and gives the visits their ids.
func (r *record) encounters() {
	for _, v := range r.visits {
		v.id = r.chart.id("enc")
	}
	r.diagnoses()
	for _, v := range r.visits {
		kind := v.encounterType()
		if v.kind == wellness && r.age(v.start) >= 18 {
			kind = sct("162673000", "General examination of patient")
		}
		participant := obj{
			{"type", list{code{terminology + "v3-ParticipationType", "PPRF", "primary performer"}.concept()}},
			{"period", period(v.start, v.end)},
			{"individual", v.doctor.ref().json()},
		}
		body := obj{
			{"identifier", list{obj{{"use", "official"}, {"system", own + "encounter"}, {"value", v.id}}}},
			{"status", "finished"},
			{"class", v.class().coding()},
			{"type", concepts(kind)},
			{"subject", r.ref().bare()},
			{"participant", list{participant}},
			{"period", period(v.start, v.end)},
			{"reasonCode", r.reasons(v)},
			{"reasonReference", refs("Condition", nonEmpty(v.diagnosis)...)},
		}
		if v.kind == inpatient {
			body = append(body, field{"hospitalization", obj{
				{"admitSource", code{terminology + "admit-source", "emd", "From accident/emergency department"}.concept()},
				{"dischargeDisposition", code{"http://www.nubc.org/patient-discharge", "01", "Discharged to home or self care (routine discharge)"}.concept()},
			}})
		}
		body = append(body,
			field{"location", list{obj{{"location", v.place.json()}, {"status", "completed"}, {"period", period(v.start, v.end)}}}},
			field{"serviceProvider", healthSystem.json()})
		r.add(entry{typ: "Encounter", id: v.id, profile: "us-core-encounter", at: v.end, author: v.doctor.ref()}, body)
	}
}

// reasons is empty for a complaint: its diagnosis stands in reasonReference.
func (r *record) reasons(v *visit) list {
	switch v.kind {
	case wellness:
		return list{concept("Check-up", sct("185349003", "Encounter for check up"))}
	case prenatal:
		return list{concept("Antenatal care", sct("77386006", "Pregnancy"))}
	case followUp, remote:
		for _, x := range r.problems {
			if !x.onset.After(v.start) {
				return list{x.snomed.concept()}
			}
		}
	}
	return nil
}

func nonEmpty(ids ...string) []string {
	return slices.DeleteFunc(ids, func(s string) bool { return s == "" })
}
