package records

import (
	"math"
	"time"
)

// trend gives what a patient's blood would show on a day: a level of its own,
// what illness adds to it, what treatment takes away again, and daily chance.
type trend struct {
	*plan
	base map[string]float64
}

func newTrend(p *plan) trend {
	d := p.dice("levels")
	t := trend{p, make(map[string]float64, len(analytes))}
	for _, a := range analytes {
		t.base[a.key] = a.mean + d.normal(0, a.between)
	}
	return t
}

// treated falls from full to rest once treatment has begun, by half in about
// two thirds of tau years.
func treated(full, rest, years, tau float64) float64 {
	return rest + (full-rest)*math.Exp(-years/tau)
}

// since gives the years since an illness began, and whether it has.
func (t trend) years(key string, at time.Time) (float64, bool) {
	onset, ok := t.has(key, at)
	return yearsBetween(onset, at), ok
}

// before gives how near an illness to come is: 0 three years ahead, 1 on the day.
func (t trend) before(key string, at time.Time) float64 {
	onset, ok := t.has(key, t.end())
	if !ok || onset.Before(at) {
		return 0
	}
	return clamp(1-yearsBetween(at, onset)/3, 0, 1)
}

// sample gives one day's values for every analyte.
func (t trend) sample(d dice, at time.Time) map[string]float64 {
	v := make(map[string]float64, len(analytes))
	for _, a := range analytes {
		v[a.key] = math.Max(a.mean*0.2, t.base[a.key]+d.normal(0, a.within))
	}
	t.constitution(v, at)
	t.metabolic(v, at)
	t.organs(v, at)
	derive(v, t.age(at), t.female)
	return v
}

func (t trend) constitution(v map[string]float64, at time.Time) {
	if t.female {
		v["hemoglobin"] -= 1.2
		v["creatinine"] -= 0.17
		v["hdl"] += 7
	}
	if years := t.age(at); years < 14 {
		v["hemoglobin"] = 12.1 + 0.12*years + 0.3*(v["hemoglobin"]-14)
		v["creatinine"] = 0.3 + 0.03*years
		v["mcv"] -= 8
	} else if years > 40 {
		v["creatinine"] += 0.002 * (years - 40)
		v["cholesterol"] += 0.3 * (years - 40)
	}
	if t.pregnant {
		v["hemoglobin"] -= 0.9
	}
}

func (t trend) metabolic(v map[string]float64, at time.Time) {
	v["a1c"] += 0.9 * t.before("diabetes", at)
	if years, ok := t.years("diabetes", at); ok {
		v["a1c"] += treated(3.7, 1.5, years, 0.8) + 0.05*years + 0.25*math.Sin(years*2.1)
		v["triglyceride"] += treated(70, 25, years, 1)
		v["hdl"] -= 6
		v["microalbumin"] += 4 * years
	}
	// The estimated average glucose of the ADAG study, a little lower when fasting.
	if v["a1c"] > 5.7 {
		v["glucose"] = 0.94*(28.7*v["a1c"]-46.7) + (v["glucose"] - 89)
	}
	v["cholesterol"] += 45 * t.before("hyperlipidemia", at)
	if years, ok := t.years("hyperlipidemia", at); ok {
		v["cholesterol"] += treated(62, -8, years, 0.4)
		v["triglyceride"] += treated(50, 12, years, 0.5)
	}
	if years, ok := t.years("gout", at); ok {
		v["urate"] += treated(3.4, 0.4, years, 0.5)
	}
	if years, ok := t.years("hypothyroid", at); ok {
		v["tsh"] += treated(7.6, 0.6, years, 0.35)
	}
}

func (t trend) organs(v map[string]float64, at time.Time) {
	v["creatinine"] += 0.22 * t.before("kidney", at)
	if years, ok := t.years("kidney", at); ok {
		v["creatinine"] += 0.33 + 0.04*years
		v["bun"] += 8 + years
		v["microalbumin"] += 45
		v["hemoglobin"] -= 0.6
		v["potassium"] += 0.2
	}
	if years, ok := t.years("heartfailure", at); ok {
		v["bnp"] += treated(1650, 520, years, 0.9)
		v["potassium"] -= 0.15
		v["bun"] += 4
	}
	if years, ok := t.years("anemia", at); ok {
		v["hemoglobin"] -= treated(3.4, 0.5, years, 0.5)
		v["mcv"] -= treated(15, 2, years, 0.6)
		v["ferritin"] = treated(7, 38, years, 0.6)
	}
}

// derive fills what laboratories calculate.
func derive(v map[string]float64, age float64, female bool) {
	v["ldl"] = math.Max(30, v["cholesterol"]-v["hdl"]-v["triglyceride"]/5) // Friedewald
	v["egfr"] = math.Min(120, gfr(v["creatinine"], age, female))
	v["hematocrit"] = 2.95 * v["hemoglobin"]
	v["rbc"] = 10 * v["hematocrit"] / v["mcv"]
}

// gfr is the CKD-EPI equation of 2021, without race.
func gfr(creatinine, age float64, female bool) float64 {
	kappa, alpha, factor := 0.9, -0.302, 1.0
	if female {
		kappa, alpha, factor = 0.7, -0.241, 1.012
	}
	ratio := creatinine / kappa
	return 142 * math.Pow(math.Min(ratio, 1), alpha) * math.Pow(math.Max(ratio, 1), -1.2) * math.Pow(0.9938, age) * factor
}
