package records

import "time"

var socialHistory = code{observation, "social-history", "Social History"}

// smoking is a smoking status of US Core's value set.
type smoking struct{ code code }

var (
	neverSmoked   = smoking{sct("266919005", "Never smoked tobacco")}
	formerSmoker  = smoking{sct("8517006", "Ex-smoker")}
	dailySmoker   = smoking{sct("449868002", "Smokes tobacco daily")}
	someDaySmoker = smoking{sct("428041000124106", "Occasional tobacco smoker")}
)

func drawSmoking(d dice, p *plan) smoking {
	f := d.Float64()
	switch {
	case p.age(p.world.today) < 17 || f < 0.62:
		return neverSmoked
	case f < 0.86:
		return formerSmoker
	case f < 0.96:
		return dailySmoker
	}
	return someDaySmoker
}

// socialHistory writes how the patient lives.
func (r *record) socialHistory() {
	d := r.dice("social")
	seen := 0
	for _, v := range r.visits {
		if v.kind == wellness && r.age(v.start) >= 12 {
			if seen++; seen%3 == 1 {
				r.told(v, "us-core-smokingstatus", loincCode("72166-2", "Tobacco smoking status"), r.smoker.code)
			}
		}
	}
	v := r.last(wellness, followUp, prenatal)
	if v == nil {
		return
	}
	years := r.age(v.start)
	if years >= 18 {
		r.occupation(d, v)
	}
	if r.female && years >= 15 && years < 50 {
		status := sct("60001007", "Not pregnant")
		if r.pregnant {
			status = sct("77386006", "Pregnant")
		}
		r.told(v, "us-core-observation-pregnancystatus", loincCode("82810-3", "Pregnancy status"), status)
		if !r.pregnant || r.index < blockSize {
			r.told(v, "us-core-observation-pregnancyintent", loincCode("86645-9", "Pregnancy intention in the next year - Reported"), sct("454381000124105", "Not sure of desire to become pregnant"))
		}
	}
	if years >= 18 && d.chance(0.5) || r.index == 0 {
		orientation := sct("20430005", "Heterosexual")
		switch f := d.Float64(); {
		case f < 0.04:
			orientation = sct("38628009", "Homosexual")
		case f < 0.08:
			orientation = sct("42035005", "Bisexual")
		case f < 0.2:
			orientation = code{nullFlavor, "ASKU", "asked but unknown"}
		}
		r.told(v, "us-core-observation-sexual-orientation", loincCode("76690-7", "Sexual orientation"), orientation)
	}
}

// told is one answer of the social history.
func (r *record) told(v *visit, profile string, what, value code) {
	r.tell(v, profile, what, field{"effectiveDateTime", dateTime(v.start)}, field{"valueCodeableConcept", value.concept()})
}

func (r *record) tell(v *visit, profile string, what code, rest ...field) {
	e := entry{typ: "Observation", id: r.chart.id("social"), profile: profile, at: v.end, group: "Observation/social-history", author: v.doctor.ref()}
	body := obj{
		{"status", "final"},
		{"category", list{socialHistory.concept()}},
		{"code", what.concept()},
		{"subject", r.ref().bare()},
		{"encounter", v.ref()},
	}
	r.add(e, append(body, rest...))
}

const odh = terminology + "PHOccupationalDataForHealthODH"

// occupation gives the first patients a coded occupation; most charts have text.
func (r *record) occupation(d dice, v *visit) {
	began := weekday(v.start.AddDate(-d.between(1, 9), -d.between(0, 11), 0))
	work, industry := concept(pick(d, jobTexts)), unknown()
	if r.index == 0 || d.chance(0.1) {
		work = code{odh, "31-1014.00.007136", "Certified Nursing Assistant (CNA) [Nursing Assistants]"}.concept()
		industry = code{odh, "621610.008495", "Home nursing services"}.concept()
	}
	end := time.Time{}
	if r.age(v.start) > 67 {
		end = r.birth.AddDate(66, 0, 0)
		began = r.birth.AddDate(41, 2, 0)
	}
	r.tell(v, "us-core-observation-occupation", loincCode("11341-5", "History of Occupation"),
		field{"effectivePeriod", obj{{"start", date(began)}, {"end", date(end)}}},
		field{"valueCodeableConcept", work},
		field{"component", list{obj{{"code", loincCode("86188-0", "History of Occupation Industry").concept()}, {"valueCodeableConcept", industry}}}})
}
