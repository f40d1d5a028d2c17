package records

import "time"

// care writes who looks after the patient, what is planned and what for.
func (r *record) care() {
	v := r.last(wellness, followUp)
	if v == nil {
		return
	}
	team := r.careTeam(v)
	if len(r.problems) == 0 && !r.pregnant && r.index >= blockSize {
		return
	}
	goals := r.goals(v)
	text := "Healthy living: regular check-ups, vaccinations as recommended."
	var about []string
	for _, x := range r.problems {
		about = append(about, r.problem[x.key])
		if len(about) == 1 {
			text = "Assessment and plan: " + x.snomed.display + ". Continue the present treatment, check-ups as booked."
		}
	}
	r.add(r.by("CarePlan", r.chart.id("plan"), "us-core-careplan", v.end), obj{
		{"text", narrative(text)},
		{"status", "active"},
		{"intent", "plan"},
		{"category", list{code{usCodes + "careplan-category", "assess-plan", "Assessment and Plan of Treatment"}.concept()}},
		{"title", "Care plan"},
		{"subject", r.ref().bare()},
		{"encounter", v.ref()},
		{"period", obj{{"start", date(v.start)}}},
		{"created", dateTime(v.end)},
		{"author", v.doctor.ref().json()},
		{"careTeam", refs("CareTeam", team)},
		{"addresses", refs("Condition", about...)},
		{"goal", refs("Goal", goals...)},
		{"activity", list{
			obj{{"detail", obj{{"status", "in-progress"}, {"code", sct("409073007", "Education").concept()}, {"description", "Advice on food and exercise"}}}},
			obj{{"detail", obj{{"status", "scheduled"}, {"code", sct("390906007", "Follow-up encounter").concept()}, {"description", "Follow-up as booked"}}}},
		}},
	})
}

func (r *record) careTeam(v *visit) string {
	id := r.chart.id("team")
	member := func(role obj, who reference) obj { return obj{{"role", list{role}}, {"member", who.json()}} }
	// The nurse is a member in her role, the others as themselves: apps meet both.
	inRole := r.clinic.doctors[groupNurse]
	members := list{
		member(sct("453231000124104", "Primary care provider").concept(), r.doctor().ref()),
		member(sct("116154003", "Patient").concept(), r.ref()),
		member(nurse.concept(), reference{"PractitionerRole/role-" + inRole.key, inRole.ref().display}),
	}
	if len(r.kin) > 0 {
		role := sct("133932002", "Caregiver").concept()
		if r.gaps {
			role = unknown()
		}
		members = append(members, member(role, r.kinRef(0)))
	}
	if _, ill := r.has("coronary", v.start); ill {
		members = append(members, member(cardiologist.role.concept(), cardiologist.ref()))
	}
	members = append(members, member(sct("224930009", "Services").concept(), healthSystem))
	r.add(r.by("CareTeam", id, "us-core-careteam", v.end), obj{
		{"status", "active"},
		{"name", "Care team of " + r.fullName()},
		{"subject", r.ref().bare()},
		{"period", obj{{"start", date(r.since)}}},
		{"participant", members},
		{"managingOrganization", list{healthSystem.json()}},
	})
	return id
}

func (r *record) goals(v *visit) []string {
	var out []string
	add := func(illness, text string, c code, target field) {
		if id := r.problem[illness]; id != "" {
			out = append(out, r.goal(goal{text: text, code: c, from: v.start, due: v.start.AddDate(1, 0, 0), addresses: id, target: target}))
		}
	}
	below := func(value float64, places int, unit, ucum string) field {
		return field{"detailRange", obj{{"high", quantity(value, places, unit, ucum)}}}
	}
	add("diabetes", "Hemoglobin A1c below 7 %", analyteOf("a1c").code, below(7, 1, "%", "%"))
	add("hypertension", "Systolic blood pressure below 130", loincCode("8480-6", "Systolic blood pressure"), below(130, 0, "mmHg", "mm[Hg]"))
	add("hyperlipidemia", "LDL cholesterol below 100", analyteOf("ldl").code, below(100, 0, "mg/dL", "mg/dL"))
	if len(out) == 0 {
		out = append(out, r.goal(goal{text: "Walk thirty minutes five times a week", code: loincCode("82290-8", "Frequency of moderate to vigorous aerobic physical activity"), from: v.start, due: v.start.AddDate(0, 6, 0)}))
	}
	return out
}

// histories writes what runs in the family, wishes, warnings and lists.
func (r *record) histories() {
	d := r.dice("histories")
	v := r.last(wellness, followUp)
	if v == nil {
		return
	}
	if r.index < blockSize || d.chance(0.4) {
		x := pick(d, illnesses[:3])
		relation := pick(d, []code{mother, father})
		r.add(r.by("FamilyMemberHistory", r.chart.id("family"), "", v.end), obj{
			{"status", "completed"},
			{"patient", r.ref().bare()},
			{"date", date(v.start)},
			{"relationship", relation.concept()},
			{"sex", code{"http://hl7.org/fhir/administrative-gender", map[code]string{mother: "female", father: "male"}[relation], ""}.concept()},
			{"condition", list{obj{{"code", x.snomed.concept()}, {"onsetAge", quantity(float64(d.between(40, 66)), 0, "years", "a")}}}},
		})
	}
	r.consent(v)
	if r.age(v.start) > 74 {
		r.add(r.by("Flag", r.chart.id("flag"), "", v.end), obj{
			{"status", "active"},
			{"category", list{code{terminology + "flag-category", "safety", "Safety"}.concept()}},
			{"code", sct("129839007", "At increased risk for falls").concept()},
			{"subject", r.ref().bare()},
			{"period", obj{{"start", date(v.start)}}},
			{"encounter", v.ref()},
			{"author", v.doctor.ref().json()},
		})
	}
	r.lists(v)
}

func (r *record) consent(v *visit) {
	if r.index%4 != 0 {
		return
	}
	signer := r.ref()
	if r.minor() {
		signer = r.kinRef(0)
	}
	r.add(entry{typ: "Consent", id: r.chart.id("consent"), at: v.start, author: signer}, obj{
		{"status", "active"},
		{"scope", code{terminology + "consentscope", "patient-privacy", "Privacy Consent"}.concept()},
		{"category", list{loincCode("59284-0", "Patient Consent").concept()}},
		{"patient", r.ref().bare()},
		{"dateTime", dateTime(v.start)},
		{"performer", list{signer.json()}},
		{"organization", list{healthSystem.json()}},
		{"policyRule", code{actCode, "OPTIN", "opt-in"}.concept()},
		{"provision", obj{{"type", "permit"}, {"period", period(v.start, v.start.AddDate(5, 0, 0))}}},
	})
}

// lists writes the problem list as a List, and one medicine as its taker tells it.
func (r *record) lists(v *visit) {
	if len(r.problems) < 2 {
		return
	}
	entries := make(list, 0, len(r.problems))
	for _, x := range r.problems {
		entries = append(entries, obj{{"item", ref("Condition", r.problem[x.key])}})
	}
	r.add(r.by("List", r.chart.id("list"), "", v.end), obj{
		{"status", "current"},
		{"mode", "working"},
		{"title", "Problems"},
		{"code", loincCode("11450-4", "Problem list - Reported").concept()},
		{"subject", r.ref().bare()},
		{"date", dateTime(v.end)},
		{"source", v.doctor.ref().json()},
		{"entry", entries},
	})
	for _, x := range r.problems {
		if len(x.drugs) == 0 {
			continue
		}
		m := drugOf(x.drugs[0])
		r.add(entry{typ: "MedicationStatement", id: r.chart.id("taking"), at: v.end, author: r.ref()}, obj{
			{"status", "active"},
			m.medication(),
			{"subject", r.ref().bare()},
			{"context", v.ref()},
			{"effectivePeriod", obj{{"start", date(maxTime(x.onset, r.since))}}},
			{"dateAsserted", dateTime(v.start)},
			{"informationSource", r.ref().json()},
			{"reasonReference", refs("Condition", r.problem[x.key])},
			{"dosage", list{m.dosage()}},
		})
		return
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
