package records

import "time"

const (
	conditionCategory = terminology + "condition-category"
	problemList       = "us-core-condition-problems-health-concerns"
	encounterOnly     = "us-core-condition-encounter-diagnosis"
)

var (
	problemItem   = code{conditionCategory, "problem-list-item", "Problem List Item"}
	visitItem     = code{conditionCategory, "encounter-diagnosis", "Encounter Diagnosis"}
	healthConcern = code{usCodes + "condition-category", "health-concern", "Health Concern"}
	social        = code{usCategory, "sdoh", "SDOH"}
	confirmed     = code{terminology + "condition-ver-status", "confirmed", "Confirmed"}
)

func clinical(over bool) obj {
	if over {
		return code{terminology + "condition-clinical", "resolved", "Resolved"}.concept()
	}
	return code{terminology + "condition-clinical", "active", "Active"}.concept()
}

func asserted(at time.Time) list {
	return list{extension("http://hl7.org/fhir/StructureDefinition/condition-assertedDate", "valueDateTime", date(at))}
}

// conditions writes the problem list and the health concerns.
func (r *record) conditions() {
	for _, x := range r.problems {
		id := r.chart.id("cond")
		r.problem[x.key] = id
		recorded := x.onset
		if recorded.Before(r.since) {
			recorded = r.since
		}
		if !recorded.Before(r.end()) {
			recorded = r.end().AddDate(0, 0, -1)
		}
		e := r.by("Condition", id, problemList, recorded)
		if x.key == "depression" || x.key == "anxiety" {
			e.label = "PSY" // as the psychiatry of an EHR labels what it writes
		}
		r.writeCondition(e, condition{
			categories: []code{problemItem}, text: x.snomed.display, codes: []code{x.snomed, x.icd}, onset: x.onset, recorded: recorded,
		})
	}
	if d := r.dice("past"); r.age(r.since) > 20 && (r.index == 0 || d.chance(0.3)) { // long over
		began := weekday(r.birth.AddDate(d.between(9, 18), d.between(0, 11), 0))
		r.writeCondition(r.by("Condition", r.chart.id("cond"), problemList, r.since), condition{
			categories: []code{problemItem}, text: "Appendicitis", codes: []code{sct("74400008", "Appendicitis"), icd("K37", "Unspecified appendicitis")},
			onset: began, end: began.AddDate(0, 0, 12), recorded: r.since,
		})
	}
	if r.pregnant {
		began := weekday(r.world.today.AddDate(0, 0, -7*20))
		r.writeCondition(r.by("Condition", r.chart.id("cond"), problemList, began), condition{
			categories: []code{problemItem}, text: "Pregnancy", codes: []code{sct("77386006", "Pregnancy"), icd("Z33.1", "Pregnant state, incidental")}, onset: began, recorded: began,
		})
	}
}

// condition is what differs between one Condition and the next.
type condition struct {
	categories []code
	text       string
	codes      []code
	onset, end time.Time
	recorded   time.Time
	visit      *visit
}

func (r *record) writeCondition(e entry, x condition) {
	e.group = "Condition/" + x.categories[len(x.categories)-1].value
	body := obj{
		{"extension", asserted(x.recorded)},
		{"clinicalStatus", clinical(!x.end.IsZero())},
		{"verificationStatus", confirmed.concept()},
		{"category", concepts(x.categories...)},
		{"code", concept(x.text, x.codes...)},
		{"subject", r.ref().bare()},
	}
	if x.visit != nil {
		body = append(body, field{"encounter", x.visit.ref()})
	}
	body = append(body,
		field{"onsetDateTime", date(x.onset)},
		field{"abatementDateTime", date(x.end)},
		field{"recordedDate", date(x.recorded)},
		field{"recorder", e.author.json()})
	if !x.end.IsZero() && x.end.After(e.at) {
		e.at, e.version = x.end, 2
	}
	r.add(e, body)
}

// diagnoses writes what the visits for a complaint found.
func (r *record) diagnoses() {
	for _, v := range r.visits {
		var x condition
		switch {
		case v.kind == inpatient:
			x = condition{text: "Pneumonia", codes: []code{sct("233604007", "Pneumonia"), icd("J18.9", "Pneumonia, unspecified organism")}, end: v.end.AddDate(0, 0, 20)}
		case v.ailment != nil:
			x = condition{text: v.ailment.snomed.display, codes: []code{v.ailment.snomed, v.ailment.icd}, end: v.ailment.gone(v.start, r.world.today)}
		default:
			continue
		}
		if x.end.After(r.end()) {
			x.end = time.Time{}
		}
		v.diagnosis = r.chart.id("dx")
		x.categories, x.onset, x.recorded, x.visit = []code{visitItem}, v.start.AddDate(0, 0, -2), v.start, v
		if x.onset.Before(r.birth) {
			x.onset = r.birth
		}
		r.writeCondition(entry{typ: "Condition", id: v.diagnosis, profile: encounterOnly, at: v.end, author: v.doctor.ref()}, x)
	}
}
