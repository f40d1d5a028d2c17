package records

import "time"

// requestOf is what differs between one ServiceRequest and the next.
type requestOf struct {
	category   code
	code       code
	status     string
	occurrence time.Time
	reason     code
	reasonRef  string
	performer  reference
}

// request writes a referral or an order that is not for the laboratory.
func (r *record) request(v *visit, x requestOf) string {
	id := r.chart.id("order")
	e := entry{typ: "ServiceRequest", id: id, profile: "us-core-servicerequest", at: v.start.Add(15 * time.Minute), author: v.doctor.ref()}
	body := obj{
		{"status", x.status},
		{"intent", "order"},
		{"category", list{x.category.concept()}},
		{"code", x.code.concept()},
		{"subject", r.ref().bare()},
		{"encounter", v.ref()},
		{"occurrenceDateTime", dateTime(x.occurrence)},
		{"authoredOn", dateTime(e.at)},
		{"requester", v.doctor.ref().json()},
	}
	if x.performer.target != "" {
		body = append(body, field{"performer", list{x.performer.json()}})
	}
	r.add(e, append(body, field{"reasonCode", list{x.reason.concept()}}, field{"reasonReference", refs("Condition", nonEmpty(x.reasonRef)...)}))
	return id
}

// task writes something the practice has to do for the patient.
func (r *record) task(v *visit, what string, focus any) {
	r.add(entry{typ: "Task", id: r.chart.id("task"), at: v.end, author: v.doctor.ref()}, obj{
		{"status", "requested"},
		{"intent", "order"},
		{"priority", "routine"},
		{"description", what},
		{"focus", focus},
		{"for", r.ref().bare()},
		{"encounter", v.ref()},
		{"authoredOn", dateTime(v.end)},
		{"lastModified", dateTime(v.end)},
		{"requester", v.doctor.ref().json()},
		{"owner", r.clinic.doctors[groupNurse].ref().json()},
	})
}

// goal is what differs between one Goal and the next.
type goal struct {
	text      string
	code      code
	from, due time.Time
	addresses string
	target    field
}

func (r *record) goal(g goal) string {
	id := r.chart.id("goal")
	target := obj{}
	if g.target.name != "" {
		target = append(target, field{"measure", g.code.concept()}, g.target)
	}
	target = append(target, field{"dueDate", date(g.due)})
	r.add(r.by("Goal", id, "us-core-goal", g.from), obj{
		{"lifecycleStatus", "active"},
		{"achievementStatus", code{terminology + "goal-achievement", "in-progress", "In Progress"}.concept()},
		{"description", concept(g.text, g.code)},
		{"subject", r.ref().bare()},
		{"startDate", date(g.from)},
		{"target", list{target}},
		{"expressedBy", r.ref().bare()},
		{"addresses", refs("Condition", nonEmpty(g.addresses)...)},
	})
	return id
}
