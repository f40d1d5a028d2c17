package records

import "time"

// record writes the chart of one patient, area by area.
type record struct {
	*plan
	chart    *chart
	visits   []*visit
	problem  map[string]string // illness key -> Condition id
	coverage string
	labs     []labResult
	scope    scope
}

func (r *record) add(e entry, body obj) { r.chart.add(e, body) }

// by is an entry written by the patient's own doctor.
func (r *record) by(typ, id, profile string, at time.Time) entry {
	return entry{typ: typ, id: id, profile: profile, at: at, author: r.doctor().ref()}
}

// patient writes everything of one patient.
func (w *world) patient(index int) [][]byte {
	p := w.plan(index)
	r := &record{plan: p, chart: &chart{world: w, prefix: p.id + "-"}, visits: p.visits(), problem: map[string]string{}}
	r.chart.out = make([][]byte, 0, 256)
	r.demographics()
	r.relatedPersons()
	r.conditions()
	r.encounters()
	r.allergies()
	r.vitals()
	r.laboratory()
	r.prescriptions()
	r.immunizations()
	r.procedures()
	r.socialHistory()
	r.screenings()
	r.care()
	r.histories()
	r.notes()
	r.appointments()
	r.groupVisit()
	r.messages()
	r.billing()
	r.chart.provenance()
	return r.chart.out
}

// last gives the newest visit of some kinds, nil when there is none.
func (r *record) last(kinds ...visitKind) *visit {
	for i := len(r.visits) - 1; i >= 0; i-- {
		for _, k := range kinds {
			if r.visits[i].kind == k {
				return r.visits[i]
			}
		}
	}
	return nil
}

// latest gives the newest visit of any kind, nil for a patient never seen.
func (r *record) latest() *visit {
	if len(r.visits) == 0 {
		return nil
	}
	return r.visits[len(r.visits)-1]
}
