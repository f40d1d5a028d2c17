package records

import (
	"slices"
	"time"
)

var laboratoryCategory = code{observation, "laboratory", "Laboratory"}

// labResult is one reported panel, for the notes that speak of it.
type labResult struct {
	report string
	panel  panel
	visit  *visit
	values map[string]float64
}

// laboratory writes orders, samples, results and reports of every visit.
func (r *record) laboratory() {
	d := r.dice("laboratory")
	t := newTrend(r.plan)
	for _, v := range r.visits {
		ordered := r.orders(v)
		if len(ordered) == 0 && (v.ailment == nil || v.ailment.test == "") {
			continue
		}
		draw := draw{visit: v, collected: v.start.Add(20 * time.Minute), specimens: map[string]string{}}
		if len(ordered) > 0 {
			values := t.sample(d, v.start)
			for _, key := range ordered {
				r.report(&draw, panelOf(key), values)
			}
		}
		if v.ailment != nil && v.ailment.test != "" {
			r.quick(d, &draw, v.ailment.test)
		}
	}
}

// draw is one taking of samples.
type draw struct {
	visit     *visit
	collected time.Time
	specimens map[string]string // sample kind -> Specimen id
}

func (w draw) issued() time.Time { return w.collected.Add(4*time.Hour + 10*time.Minute) }

func panelOf(key string) panel {
	i := slices.IndexFunc(panels, func(p panel) bool { return p.key == key })
	return panels[i]
}

func analyteOf(key string) analyte {
	i := slices.IndexFunc(analytes, func(a analyte) bool { return a.key == key })
	return analytes[i]
}

// orders says which panels a visit leads to.
func (r *record) orders(v *visit) []string {
	at := v.start
	ill := func(key string) bool { _, ok := r.has(key, at); return ok }
	if r.age(at) < 14 {
		if years := r.age(at); v.kind == wellness && (years > 0.95 && years < 1.15 || years > 1.9 && years < 2.15) {
			return []string{"cbc", "lead"}
		}
		return nil
	}
	var out []string
	switch v.kind {
	case wellness:
		if len(r.problems) == 0 && v.number%2 == 0 {
			return nil
		}
		if r.rich {
			out = append(out, "metabolic", "lipid", "cbc")
		} else {
			out = append(out, []string{"basic", "metabolic", "basic", "basic"}[v.number%4], "lipid")
			if v.number%3 == 1 {
				out = append(out, "cbc")
			}
		}
		if ill("hypothyroid") {
			out = append(out, "tsh")
		}
		if ill("gout") {
			out = append(out, "urate")
		}
		if ill("diabetes") {
			out = append(out, "microalbumin")
		}
	case followUp:
		if ill("kidney") || ill("diabetes") || ill("heartfailure") {
			out = append(out, "glucose")
		}
		if ill("heartfailure") {
			out = append(out, "bnp")
		}
		if ill("anemia") {
			out = append(out, "cbc", "ferritin")
		}
	case inpatient:
		out = append(out, "metabolic", "cbc")
	case prenatal:
		out = append(out, "cbc")
	}
	_, everDiabetic := r.has("diabetes", r.end())
	if ill("diabetes") && v.kind != acute && v.kind != remote || everDiabetic && v.kind == wellness {
		out = append(out, "a1c")
	}
	return out
}

// specimen writes the sample once per draw and kind.
func (r *record) specimen(w *draw, kind string) string {
	if id := w.specimens[kind]; id != "" {
		return id
	}
	id := r.chart.id("spec")
	w.specimens[kind] = id
	r.add(entry{typ: "Specimen", id: id, profile: "us-core-specimen", at: w.collected, author: laboratory}, obj{
		{"identifier", list{identifier(own+"specimen", id)}},
		{"accessionIdentifier", identifier(own+"accession", w.collected.Format("20060102")+"-"+id)},
		{"status", "available"},
		{"type", sampleKinds[kind].concept()},
		{"subject", r.ref().bare()},
		{"receivedTime", dateTime(w.collected.Add(time.Hour))},
		{"collection", obj{{"collector", w.visit.doctor.ref().json()}, {"collectedDateTime", dateTime(w.collected)}}},
	})
	return id
}

// order writes the request for a test.
func (r *record) order(w *draw, what code) string {
	id := r.chart.id("order")
	e := entry{typ: "ServiceRequest", id: id, profile: "us-core-servicerequest", at: w.visit.start.Add(15 * time.Minute), author: w.visit.doctor.ref()}
	r.add(e, obj{
		{"status", "completed"},
		{"intent", "order"},
		{"category", list{sct("108252007", "Laboratory procedure").concept()}},
		{"code", what.concept()},
		{"subject", r.ref().bare()},
		{"encounter", w.visit.ref()},
		{"occurrenceDateTime", dateTime(w.collected)},
		{"authoredOn", dateTime(e.at)},
		{"requester", w.visit.doctor.ref().json()},
	})
	return id
}

// report writes one panel: its order, its results and the DiagnosticReport.
func (r *record) report(w *draw, p panel, values map[string]float64) {
	specimen, order := r.specimen(w, p.sample), r.order(w, p.code)
	results := make(list, 0, len(p.members))
	for _, key := range p.members {
		if key == "egfr" && r.age(w.collected) < 18 { // the formula is for adults
			continue
		}
		a := analyteOf(key)
		value := round(values[key], a.places)
		told := field{"valueQuantity", quantity(value, a.places, a.unit, a.ucum)}
		flag := field{"interpretation", list{a.interpret(value, r.female)}}
		if r.gaps && key == "potassium" && len(r.labs) < 4 { // the sample was hemolyzed
			told, flag = field{"dataAbsentReason", code{absentCodes, "error", "Error"}.concept()}, field{}
		}
		id := r.result(w, specimen, a.code, told, flag, field{"referenceRange", list{a.rangeFor(r.female)}})
		results = append(results, ref("Observation", id))
	}
	id := r.labReport(w, p.code, specimen, order, results)
	r.labs = append(r.labs, labResult{id, p, w.visit, values})
}

// quick writes a test with an answer in words.
func (r *record) quick(d dice, w *draw, key string) {
	i := slices.IndexFunc(quickTests, func(t quickTest) bool { return t.key == key })
	test := quickTests[i]
	specimen, order := r.specimen(w, test.sample), r.order(w, test.code)
	answer := sct("10828004", "Positive")
	flag := interpretation("POS", "Positive")
	if !d.chance(test.positive) {
		answer, flag = sct("260385009", "Negative"), interpretation("NEG", "Negative")
	}
	value, rest := field{"valueCodeableConcept", answer.concept()}, field{"interpretation", list{flag}}
	if r.gaps { // the sample was no good
		value, rest = field{"dataAbsentReason", unknown()}, field{}
	}
	id := r.result(w, specimen, test.code, value, rest)
	r.labReport(w, test.code, specimen, order, list{ref("Observation", id)})
}

func (r *record) result(w *draw, specimen string, what code, rest ...field) string {
	id := r.chart.id("lab")
	e := entry{typ: "Observation", id: id, profile: "us-core-observation-lab", at: w.issued(), group: "Observation/laboratory", author: laboratory}
	body := obj{
		{"status", "final"},
		{"category", list{laboratoryCategory.concept()}},
		{"code", what.concept()},
		{"subject", r.ref().bare()},
		{"encounter", w.visit.ref()},
		{"effectiveDateTime", dateTime(w.collected)},
		{"issued", dateTime(w.issued())},
		{"performer", list{laboratory.bare()}},
	}
	body = append(body, rest...)
	r.add(e, append(body, field{"specimen", ref("Specimen", specimen)}))
	return id
}

func (r *record) labReport(w *draw, what code, specimen, order string, results list) string {
	id := r.chart.id("report")
	r.add(entry{typ: "DiagnosticReport", id: id, profile: "us-core-diagnosticreport-lab", at: w.issued(), author: laboratory}, obj{
		{"identifier", list{identifier(own+"report", id)}},
		{"basedOn", refs("ServiceRequest", order)},
		{"status", "final"},
		{"category", list{code{terminology + "v2-0074", "LAB", "Laboratory"}.concept()}},
		{"code", what.concept()},
		{"subject", r.ref().bare()},
		{"encounter", w.visit.ref()},
		{"effectiveDateTime", dateTime(w.collected)},
		{"issued", dateTime(w.issued())},
		{"performer", list{laboratory.bare()}},
		{"specimen", refs("Specimen", specimen)},
		{"result", results},
	})
	return id
}

func interpretation(value, display string) obj {
	return code{terminology + "v3-ObservationInterpretation", value, display}.concept()
}

func (a analyte) limits(female bool) (low, high float64) {
	switch {
	case !female || a.women == 0:
		return a.low, a.high
	case a.high == 0:
		return a.women, 0
	}
	return a.women, round(a.high-(a.low-a.women)/2, a.places)
}

func (a analyte) interpret(value float64, female bool) obj {
	low, high := a.limits(female)
	switch {
	case high > 0 && value > high:
		return interpretation("H", "High")
	case value < low:
		return interpretation("L", "Low")
	}
	return interpretation("N", "Normal")
}

func (a analyte) rangeFor(female bool) obj {
	low, high := a.limits(female)
	var out obj
	if low > 0 {
		out = append(out, field{"low", obj{{"value", dec{low, a.places}}, {"unit", a.unit}}})
	}
	if high > 0 {
		out = append(out, field{"high", obj{{"value", dec{high, a.places}}, {"unit", a.unit}}})
	}
	return out
}
