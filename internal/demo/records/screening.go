package records

import "time"

var survey = code{observation, "survey", "Survey"}

// screenings writes questionnaires, the observations made from them, and what
// follows from a bad answer.
func (r *record) screenings() {
	d := r.dice("screening")
	v := r.last(wellness, followUp)
	if v == nil {
		return
	}
	if r.index < blockSize || d.chance(0.25) {
		r.hunger(d, v)
	}
	if r.age(v.start) >= 12 && (r.index < blockSize || d.chance(0.3)) {
		r.mood(d, v)
	}
	r.abilities(d, v)
}

func (r *record) hunger(d dice, v *visit) {
	at := 0
	if r.index == int(child) || r.index == int(ward) || d.chance(0.2) {
		at = d.between(1, 2)
	}
	risk := min(1, at)
	r.answer(forms[0], v, []int{at, max(0, at-1), risk})
	if risk == 0 {
		return
	}
	id := r.chart.id("cond")
	e := r.by("Condition", id, problemList, v.end)
	r.writeCondition(e, condition{
		categories: []code{healthConcern, social}, text: "Food insecurity", codes: []code{sct("733423003", "Food insecurity"), icd("Z59.41", "Food insecurity")},
		onset: v.start.AddDate(0, -1, 0), recorded: v.start, visit: v,
	})
	request := r.request(v, requestOf{
		category: social, code: sct("467771000124109", "Assistance with application for food pantry program"), status: "active",
		occurrence: v.start.AddDate(0, 0, 8), reason: sct("733423003", "Food insecurity"), reasonRef: id,
	})
	r.goal(goal{text: "Enough food in the house every week", code: sct("1078229009", "Food security"), from: v.start, due: v.start.AddDate(0, 6, 0), addresses: id})
	r.task(v, "Call the family about the food pantry", ref("ServiceRequest", request))
}

func (r *record) mood(d dice, v *visit) {
	low := 0
	_, depressed := r.has("depression", v.start)
	_, anxious := r.has("anxiety", v.start)
	if depressed || anxious || d.chance(0.1) {
		low = 1
	}
	answers := []int{low, d.between(0, low+1)}
	if r.gaps {
		answers[1] = declined
	}
	response := r.answer(forms[1], v, answers)
	score := answers[0] + max(0, answers[1])
	r.simple(v, "disability-status", "Disability Status", loincCode("55758-7", "Patient Health Questionnaire 2 item (PHQ-2) total score [Reported]"),
		field{"valueInteger", score}, field{"derivedFrom", refs("QuestionnaireResponse", response)})
}

// declined marks a question that was not answered.
const declined = -1

// answer writes a QuestionnaireResponse and an Observation per question, with a
// panel that holds them together.
func (r *record) answer(q form, v *visit, chosen []int) string {
	filled := v.start.Add(-10 * time.Minute)
	teller := r.ref()
	if r.age(v.start) < 12 {
		teller = r.kinRef(0)
	}
	response := r.chart.id("form")
	items := make(list, 0, len(q.items))
	for i, it := range q.items {
		item := obj{{"linkId", it.link()}, {"text", it.code.display}}
		if chosen[i] != declined {
			given := obj{{"valueCoding", it.answers[chosen[i]].coding()}}
			if i == len(q.items)-1 && chosen[i] > 0 {
				given = append(given, field{"item", list{obj{{"linkId", it.comment()}, {"text", "Comment"}, {"answer", list{obj{{"valueString", "I would like to talk about this."}}}}}}})
			}
			item = append(item, field{"answer", list{given}})
		}
		items = append(items, item)
	}
	last := len(items) - 1
	r.add(entry{typ: "QuestionnaireResponse", id: response, profile: "us-core-questionnaireresponse", at: v.start, author: teller}, obj{
		{"identifier", identifier(own+"form", response)},
		{"questionnaire", own + "Questionnaire/" + q.id},
		{"_questionnaire", obj{{"extension", list{
			extension("http://hl7.org/fhir/StructureDefinition/display", "valueString", q.code.display),
			extension(usCore+"us-core-extension-questionnaire-uri", "valueUri", own+"forms/"+q.id),
		}}}},
		{"status", "completed"},
		{"subject", r.ref().bare()},
		{"encounter", v.ref()},
		{"authored", dateTime(filled)},
		{"author", teller.json()},
		{"item", list{obj{{"linkId", q.group()}, {"text", q.code.display}, {"item", items[:last]}}, items[last]}},
	})
	members := make(list, 0, len(q.items))
	for i, it := range q.items {
		value := field{"dataAbsentReason", code{absentCodes, "asked-declined", "Asked But Declined"}.concept()}
		if chosen[i] != declined {
			value = field{"valueCodeableConcept", it.answers[chosen[i]].concept()}
		}
		members = append(members, ref("Observation", r.assess(q, v, teller, it.code, value, field{"derivedFrom", refs("QuestionnaireResponse", response)})))
	}
	r.assess(q, v, teller, q.code, field{"hasMember", members}, field{"derivedFrom", refs("QuestionnaireResponse", response)})
	return response
}

func (r *record) assess(q form, v *visit, teller reference, what code, rest ...field) string {
	id := r.chart.id("survey")
	e := entry{typ: "Observation", id: id, profile: "us-core-observation-screening-assessment", at: v.end, group: "Observation/survey/" + q.category.value, author: v.doctor.ref()}
	body := obj{
		{"status", "final"},
		{"category", concepts(survey, q.category)},
		{"code", what.concept()},
		{"subject", r.ref().bare()},
		{"encounter", v.ref()},
		{"effectiveDateTime", dateTime(v.start)},
		{"performer", list{teller.bare()}},
	}
	r.add(e, append(body, rest...))
	return id
}

// simple writes a US Core simple observation.
func (r *record) simple(v *visit, category, display string, what code, rest ...field) string {
	id := r.chart.id("status")
	e := entry{typ: "Observation", id: id, profile: "us-core-simple-observation", at: v.end, group: "Observation/" + category, author: v.doctor.ref()}
	body := obj{
		{"status", "final"},
		{"category", list{code{usCategory, category, display}.concept()}},
		{"code", what.concept()},
		{"subject", r.ref().bare()},
		{"encounter", v.ref()},
		{"effectiveDateTime", dateTime(v.start)},
		{"performer", list{v.doctor.ref().bare()}},
	}
	r.add(e, append(body, rest...))
	return id
}

// abilities writes what the patient can do, and what it remembers.
func (r *record) abilities(d dice, v *visit) {
	years := r.age(v.start)
	if years > 64 {
		what := sct("165245003", "Independent walking")
		if _, sore := r.has("arthrosis", v.start); sore && d.chance(0.6) {
			what = sct("719232003", "Difficulty walking")
		}
		r.simple(v, "functional-status", "Functional Status", what, field{"valueBoolean", true})
		text := "Alert and oriented. Manages household finances without help."
		if _, ill := r.has("dementia", v.start); ill {
			text = "Short-term memory impaired. Needs reminders for medicines; family helps with finances."
		}
		r.simple(v, "cognitive-status", "Cognitive Status", loincCode("11332-4", "History of Cognitive Function Narrative"), field{"valueString", text})
	}
	if r.index < blockSize && years > 18 || d.chance(0.08) {
		r.simple(v, "sdoh", "SDOH", sct("160695008", "Transport too expensive"), field{"valueBoolean", d.chance(0.3)})
	}
}
