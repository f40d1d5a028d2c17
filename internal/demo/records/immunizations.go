package records

import "time"

// vaccine is one CVX vaccine and the ages, in days, at which its doses are due.
type vaccine struct {
	code code
	due  []int
	from int // born in this year or later
}

func cvxCode(value, display string) code { return code{cvx, value, display} }

const yearDays = 365

var vaccines = []vaccine{
	{cvxCode("08", "Hep B, adolescent or pediatric"), []int{1, 61, 183}, 1992},
	{cvxCode("119", "rotavirus, monovalent"), []int{61, 122}, 2007},
	{cvxCode("20", "DTaP"), []int{61, 122, 183, 480, 4*yearDays + 30}, 1998},
	{cvxCode("49", "Hib (PRP-OMP)"), []int{61, 122, 400}, 1992},
	{cvxCode("133", "Pneumococcal conjugate PCV 13"), []int{61, 122, 183, 400}, 2010},
	{cvxCode("10", "IPV"), []int{61, 122, 210, 4*yearDays + 30}, 1990},
	{cvxCode("03", "MMR"), []int{370, 4*yearDays + 30}, 1990},
	{cvxCode("21", "varicella"), []int{370, 4*yearDays + 30}, 1996},
	{cvxCode("83", "Hep A, ped/adol, 2 dose"), []int{380, 570}, 2000},
	{cvxCode("115", "Tdap"), []int{11*yearDays + 40, 32 * yearDays, 42 * yearDays, 52 * yearDays, 62 * yearDays, 72 * yearDays}, 1900},
	{cvxCode("114", "meningococcal MCV4P"), []int{11*yearDays + 40, 16*yearDays + 40}, 1995},
	{cvxCode("165", "HPV9"), []int{11*yearDays + 60, 12*yearDays + 60}, 2005},
	{cvxCode("187", "zoster recombinant"), []int{51 * yearDays, 51*yearDays + 120}, 1900},
	{cvxCode("216", "Pneumococcal conjugate PCV20, polysaccharide CRM197 conjugate, adjuvant, PF"), []int{65*yearDays + 60}, 1900},
}

var influenza = cvxCode("140", "Influenza, split virus, trivalent, PF")

// immunizations writes the doses given here, those told of from elsewhere, and
// the yearly influenza vaccination, which some refuse.
func (r *record) immunizations() {
	d := r.dice("immunizations")
	for _, x := range vaccines {
		if r.birth.Year() < x.from {
			continue
		}
		for n, days := range x.due {
			due := r.birth.AddDate(0, 0, days)
			if r.minor() && due.Before(r.since) || !r.minor() && due.Before(r.since) && due.After(r.since.AddDate(-10, 0, 0)) {
				r.immunize(d, x.code, nil, due, n+1)
				continue
			}
			if v := r.visitAfter(due); v != nil && !due.Before(r.since) && v.kind != remote && v.kind != inpatient {
				r.immunize(d, x.code, v, v.start.Add(15*time.Minute), n+1)
			}
		}
	}
	season := 0
	for _, v := range r.visits {
		if m := v.start.Month(); (m >= time.September || m == time.January) && v.start.Year() != season && v.kind != remote && r.age(v.start) > 0.5 {
			season = v.start.Year()
			if d.chance(0.6) || r.index < blockSize {
				r.immunize(d, influenza, v, v.start.Add(15*time.Minute), 0)
			}
		}
	}
	if v := r.last(wellness, followUp); v != nil && (r.index < 5 || d.chance(0.1)) {
		r.refusal(v)
	}
}

func (r *record) immunize(d dice, what code, v *visit, at time.Time, dose int) {
	e := r.by("Immunization", r.chart.id("imm"), "us-core-immunization", at)
	body := obj{{"status", "completed"}, {"vaccineCode", what.concept()}, {"patient", r.ref().bare()}}
	if v == nil { // told by the family or another practice
		e.at = r.since.AddDate(0, 0, 1)
		if at.After(e.at) {
			e.at = at
		}
		body = append(body, field{"occurrenceDateTime", date(at)}, field{"recorded", date(e.at)}, field{"primarySource", false},
			field{"reportOrigin", code{terminology + "immunization-origin", "record", "Written Record"}.concept()})
	} else {
		body = append(body, field{"encounter", v.ref()}, field{"occurrenceDateTime", dateTime(at)}, field{"recorded", date(at)}, field{"primarySource", true},
			field{"location", v.place.bare()}, field{"lotNumber", "SV" + d.digits(5)},
			field{"site", code{terminology + "v3-ActSite", "LA", "left arm"}.concept()},
			field{"performer", list{obj{{"actor", v.doctor.ref().bare()}}}})
	}
	if dose > 0 {
		body = append(body, field{"protocolApplied", list{obj{{"doseNumberPositiveInt", dose}}}})
	}
	r.add(e, body)
}

func (r *record) refusal(v *visit) {
	covid := cvxCode("309", "COVID-19, mRNA, LNP-S, bivalent, PF, 30 mcg/0.3 mL dose")
	e := r.by("Immunization", r.chart.id("imm"), "us-core-immunization", v.end)
	r.add(e, obj{
		{"status", "not-done"},
		{"statusReason", code{terminology + "v3-ActReason", "PATOBJ", "patient objection"}.concept()},
		{"vaccineCode", covid.concept()},
		{"patient", r.ref().bare()},
		{"encounter", v.ref()},
		{"occurrenceDateTime", dateTime(v.start)},
		{"primarySource", true},
	})
}
