package records

import (
	"time"
)

var vitalSigns = code{observation, "vital-signs", "Vital Signs"}

func loincCode(value, display string) code { return code{loinc, value, display} }

// vitals writes what is measured at a visit: blood pressure always, the rest by
// kind of visit.
func (r *record) vitals() {
	d := r.dice("vitals")
	pressure := r.restingPressure(d)
	for _, v := range r.visits {
		if v.kind == remote {
			continue
		}
		years := r.age(v.start)
		if years < 18 {
			r.childVitals(d, v, years)
		} else {
			r.adultVitals(d, v)
		}
		if years >= 3 {
			r.bloodPressure(d, v, pressure)
		}
		switch {
		case v.kind == acute, v.kind == inpatient, v.kind == wellness && v.number%3 == 1, r.rich && v.number%4 == 0:
			r.signs(d, v, years)
		case v.kind == wellness && years >= 18:
			r.pulse(d, v, 72)
		}
	}
}

// vital is one simple vital sign.
func (r *record) vital(v *visit, profile string, c code, value float64, places int, unit, ucumCode string) {
	r.writeVital(v, profile, c.concept(), field{"valueQuantity", quantity(round(value, places), places, unit, ucumCode)})
}

func (r *record) writeVital(v *visit, profile string, what obj, rest ...field) {
	e := entry{typ: "Observation", id: r.chart.id("vital"), profile: profile, at: v.end, group: "Observation/vital-signs", author: v.doctor.ref()}
	body := obj{
		{"status", "final"},
		{"category", list{vitalSigns.concept()}},
		{"code", what},
		{"subject", r.ref().bare()},
		{"encounter", v.ref()},
		{"effectiveDateTime", dateTime(v.start.Add(5 * time.Minute))},
		{"performer", list{v.doctor.ref().bare()}},
	}
	r.add(e, append(body, rest...))
}

var (
	heightCode = loincCode("8302-2", "Body height")
	weightCode = loincCode("29463-7", "Body weight")
	bmiCode    = loincCode("39156-5", "Body mass index (BMI) [Ratio]")
)

func (r *record) adultVitals(d dice, v *visit) {
	grown := r.stature.sizeAt(20, r.female, 0)
	excess := 1.16 + 0.004*(r.age(v.start)-20)
	if _, obese := r.has("obesity", r.end()); obese {
		excess = 1.55
	}
	if onset, ok := r.has("diabetes", v.start); ok { // advice shows, slowly
		excess *= 1 - 0.012*clamp(yearsBetween(onset, v.start), 0, 6)
	}
	if r.pregnant && v.kind == prenatal {
		excess *= 1.05
	}
	weight := grown.weight * excess * (1 + d.normal(0, 0.008))
	if v.kind != acute {
		r.vital(v, "us-core-body-weight", weightCode, weight, 1, "kg", "kg")
	}
	if v.kind == wellness && (v.number%2 == 1 || v == r.last(wellness)) {
		r.vital(v, "us-core-body-height", heightCode, grown.height, 1, "cm", "cm")
		r.vital(v, "us-core-bmi", bmiCode, size{height: grown.height, weight: weight}.bmi(), 1, "kg/m2", "kg/m2")
	}
}

func (r *record) childVitals(d dice, v *visit, years float64) {
	s := r.stature.sizeAt(years, r.female, d.normal(0, 1))
	r.vital(v, "us-core-body-weight", weightCode, s.weight, 2, "kg", "kg")
	if v.kind != wellness {
		return
	}
	r.vital(v, "us-core-body-height", heightCode, s.height, 1, "cm", "cm")
	if years < 3 {
		r.vital(v, "us-core-head-circumference", loincCode("9843-4", "Head Occipital-frontal circumference"), s.head, 1, "cm", "cm")
		r.vital(v, "head-occipital-frontal-circumference-percentile", loincCode("8289-1", "Head Occipital-frontal circumference Percentile"), s.headForAge, 0, "%", "%")
		r.vital(v, "pediatric-weight-for-height", loincCode("77606-2", "Weight-for-length Per age and sex"), s.weightForLength, 0, "%", "%")
	}
	if years >= 2 {
		r.vital(v, "us-core-bmi", bmiCode, s.bmi(), 1, "kg/m2", "kg/m2")
		r.vital(v, "pediatric-bmi-for-age", loincCode("59576-9", "Body mass index (BMI) [Percentile] Per age and sex"), s.bmiForAge, 0, "%", "%")
	}
}

// restingPressure is the systolic pressure a person would have untreated.
func (r *record) restingPressure(d dice) float64 {
	base := d.normal(112, 6) + 0.16*clamp(r.age(r.world.today)-20, 0, 60)
	if _, ok := r.has("hypertension", r.end()); ok {
		base += 26
	}
	return base
}

func (r *record) bloodPressure(d dice, v *visit, base float64) {
	systolic := base + d.normal(0, 5)
	if onset, ok := r.has("hypertension", v.start); ok { // treatment takes about half a year
		systolic -= 20 * clamp(yearsBetween(onset, v.start)*2, 0, 1)
	}
	if years := r.age(v.start); years < 18 {
		systolic = 84 + 2*years + d.normal(0, 4)
	}
	diastolic := systolic*0.55 + 12 + d.normal(0, 3)
	component := func(c code, value float64) obj {
		out := obj{{"code", c.concept()}}
		if r.gaps && v == r.visits[0] { // the cuff slipped: no value, and the reason why
			return append(out, field{"dataAbsentReason", code{absentCodes, "error", "Error"}.concept()})
		}
		return append(out, field{"valueQuantity", quantity(round(value, 0), 0, "mmHg", "mm[Hg]")})
	}
	panel := loincCode("85354-9", "Blood pressure panel with all children optional")
	r.writeVital(v, "us-core-blood-pressure", panel.concept(),
		field{"component", list{
			component(loincCode("8480-6", "Systolic blood pressure"), systolic),
			component(loincCode("8462-4", "Diastolic blood pressure"), diastolic),
		}})
}

// signs writes pulse, breath, temperature and oxygen.
func (r *record) signs(d dice, v *visit, years float64) {
	fever := v.ailment != nil && v.ailment.fever
	pulse, breaths := 72.0, 15.0
	if years < 12 {
		pulse, breaths = 125-4*years, 34-1.5*years
	}
	temperature := d.normal(36.7, 0.2)
	if fever {
		temperature, pulse = d.normal(38.3, 0.4), pulse+12
	}
	if _, ok := r.has("fibrillation", v.start); ok {
		pulse += 9
	}
	r.pulse(d, v, pulse)
	r.vital(v, "us-core-respiratory-rate", loincCode("9279-1", "Respiratory rate"), d.normal(breaths, 1.2), 0, "/min", "/min")
	r.vital(v, "us-core-body-temperature", loincCode("8310-5", "Body temperature"), temperature, 1, "Cel", "Cel")
	r.oximetry(d, v)
}

func (r *record) pulse(d dice, v *visit, mean float64) {
	r.vital(v, "us-core-heart-rate", loincCode("8867-4", "Heart rate"), d.normal(mean, 5), 0, "/min", "/min")
}

func (r *record) oximetry(d dice, v *visit) {
	what := concept("Oxygen saturation by pulse oximetry",
		loincCode("2708-6", "Oxygen saturation in Arterial blood"),
		loincCode("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"))
	saturation := clamp(d.normal(98, 0.7), 94, 100)
	_, copd := r.has("copd", v.start)
	if copd {
		saturation = clamp(d.normal(92.5, 1), 88, 96)
	}
	rest := []field{{"valueQuantity", quantity(round(saturation, 0), 0, "%", "%")}}
	if v.kind == inpatient || copd && d.chance(0.3) { // given oxygen
		rest = append(rest, field{"component", list{
			obj{{"code", loincCode("3151-8", "Inhaled oxygen flow rate").concept()}, {"valueQuantity", quantity(2, 0, "L/min", "L/min")}},
			obj{{"code", loincCode("3150-0", "Inhaled oxygen concentration").concept()}, {"valueQuantity", quantity(28, 0, "%", "%")}},
		}})
	}
	r.writeVital(v, "us-core-pulse-oximetry", what, rest...)
}
