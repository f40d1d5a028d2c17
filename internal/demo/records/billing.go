package records

import (
	"fmt"
	"time"
)

// fee is one line of a bill.
type fee struct {
	code  code
	price float64
}

func cptCode(value, display string) code { return code{cpt, value, display} }

func (v *visit) fees(age float64) []fee {
	switch v.kind {
	case wellness:
		if age < 18 {
			return []fee{{cptCode("99392", "Preventive visit, established patient, child"), 148}}
		}
		return []fee{{cptCode("99396", "Preventive visit, established patient"), 186}, {cptCode("36415", "Venipuncture"), 14.5}, {cptCode("80053", "Comprehensive metabolic panel"), 42.75}}
	case remote:
		return []fee{{cptCode("99212", "Office or other outpatient visit, 10 minutes"), 74}}
	case inpatient:
		return []fee{{cptCode("99223", "Initial hospital care"), 412}, {cptCode("99239", "Hospital discharge day"), 236}, {cptCode("71046", "Chest X-ray, 2 views"), 88}}
	case acute:
		return []fee{{cptCode("99213", "Office or other outpatient visit, 20 minutes"), 131}}
	}
	return []fee{{cptCode("99214", "Office or other outpatient visit, 30 minutes"), 189}, {cptCode("36415", "Venipuncture"), 14.5}}
}

// billing writes the coverage, the account, and for the visits of the last
// months the claim, what the insurer paid, and what is left to the patient.
func (r *record) billing() {
	d := r.dice("billing")
	member := "M" + d.digits(9)
	start := time.Date(r.world.today.Year()-1, 1, 1, 0, 0, 0, 0, r.world.today.Location())
	if start.Before(r.birth) {
		start = r.birth
	}
	r.coverage = r.chart.id("cov")
	relation := code{terminology + "subscriber-relationship", "self", "Self"}
	subscriber := r.ref()
	if r.minor() && len(r.kin) > 0 {
		relation, subscriber = code{terminology + "subscriber-relationship", "child", "Child"}, r.kinRef(0)
	}
	payer := reference{"Organization/" + r.insurer.id, r.insurer.name}
	class := func(kind, display, value, name string) obj {
		return obj{{"type", code{terminology + "coverage-class", kind, display}.concept()}, {"value", value}, {"name", name}}
	}
	r.add(entry{typ: "Coverage", id: r.coverage, profile: "us-core-coverage", at: maxTime(start, r.since), author: payer}, obj{
		{"identifier", list{obj{{"type", code{terminology + "v2-0203", "MB", "Member Number"}.concept()}, {"system", own + "member"}, {"value", member + "01"}}}},
		{"status", "active"},
		{"type", concept(r.insurer.kind.display, r.insurer.kind, r.insurer.policy)},
		{"subscriber", subscriber.json()},
		{"subscriberId", member},
		{"beneficiary", r.ref().bare()},
		{"relationship", relation.concept()},
		{"period", obj{{"start", date(start)}}},
		{"payor", list{payer.json()}},
		{"class", list{class("group", "Group", "SV-"+r.insurer.id[len("org-"):], "Saguaro Valley employers"), class("plan", "Plan", r.insurer.policy.value, r.insurer.plan)}},
	})
	account := r.chart.id("acct")
	r.add(entry{typ: "Account", id: account, at: r.since, author: healthSystem}, obj{
		{"identifier", list{identifier(own+"account", account)}},
		{"status", "active"},
		{"type", code{actCode, "PBILLACCT", "patient billing account"}.concept()},
		{"name", "Account of " + r.fullName()},
		{"subject", list{r.ref().json()}},
		{"servicePeriod", obj{{"start", date(r.since)}}},
		{"coverage", list{obj{{"coverage", ref("Coverage", r.coverage)}, {"priority", 1}}}},
		{"owner", healthSystem.json()},
		{"guarantor", list{obj{{"party", subscriber.json()}}}},
	})
	from := r.world.today.AddDate(0, -9, 0)
	if r.index < blockSize {
		from = r.world.today.AddDate(-1, -6, 0)
	}
	for _, v := range r.visits {
		if v.end.After(from) && v.end.Before(r.world.today.AddDate(0, 0, -8)) {
			r.bill(d, v, payer, account)
		}
	}
}

// bill writes Claim, ExplanationOfBenefit and Invoice of one visit.
func (r *record) bill(d dice, v *visit, payer reference, account string) {
	share := pick(d, []float64{0, 20, 25, 30})
	var total, allowed float64
	var lines, settled list
	for i, f := range v.fees(r.age(v.start)) {
		eligible := round(f.price*0.72, 2)
		total, allowed = total+f.price, allowed+eligible
		line := obj{{"sequence", i + 1}, {"diagnosisSequence", list{1}}, {"productOrService", f.code.concept()}, {"servicedDate", date(v.start)}, {"net", money(f.price)}}
		lines = append(lines, line)
		settled = append(settled, append(line, field{"adjudication", list{adjudicated("eligible", "Eligible Amount", eligible)}}))
	}
	share = min(share, allowed)
	claim, made := r.chart.id("claim"), v.end.Add(26*time.Hour)
	kind := code{terminology + "claim-type", "professional", "Professional"}.concept()
	insurance := obj{{"focal", true}, {"coverage", ref("Coverage", r.coverage)}}
	r.add(entry{typ: "Claim", id: claim, at: made, author: healthSystem}, obj{
		{"identifier", list{identifier(own+"claim", claim)}},
		{"status", "active"}, {"type", kind}, {"use", "claim"},
		{"patient", r.ref().bare()},
		{"billablePeriod", period(v.start, v.end)},
		{"created", dateTime(made)},
		{"insurer", payer.bare()},
		{"provider", healthSystem.bare()},
		{"priority", code{terminology + "processpriority", "normal", "Normal"}.concept()},
		{"diagnosis", r.billedFor(v)},
		{"insurance", list{append(obj{{"sequence", 1}}, insurance...)}},
		{"item", lines},
		{"total", money(total)},
	})
	settledOn := made.Add(5 * 24 * time.Hour)
	r.add(entry{typ: "ExplanationOfBenefit", id: r.chart.id("eob"), at: settledOn, author: payer}, obj{
		{"identifier", list{identifier(own+"eob", claim)}},
		{"status", "active"}, {"type", kind}, {"use", "claim"},
		{"patient", r.ref().bare()},
		{"billablePeriod", period(v.start, v.end)},
		{"created", dateTime(settledOn)},
		{"insurer", payer.json()},
		{"provider", healthSystem.json()},
		{"claim", ref("Claim", claim)},
		{"outcome", "complete"},
		{"disposition", fmt.Sprintf("Your plan paid $%.2f; you owe $%.2f.", allowed-share, share)},
		{"careTeam", list{obj{{"sequence", 1}, {"provider", v.doctor.ref().json()}}}},
		{"diagnosis", r.billedFor(v)},
		{"insurance", list{insurance}},
		{"item", settled},
		{"total", list{adjudicated("submitted", "Submitted Amount", total), adjudicated("eligible", "Eligible Amount", allowed), adjudicated("copay", "CoPay", share), adjudicated("benefit", "Benefit Amount", allowed-share)}},
		{"payment", obj{{"type", code{terminology + "ex-paymenttype", "complete", "Complete"}.concept()}, {"date", date(settledOn)}, {"amount", money(allowed - share)}}},
	})
	if share > 0 {
		r.invoice(v, account, share, settledOn.Add(20*time.Hour))
	}
}

func adjudicated(kind, display string, amount float64) obj {
	return obj{{"category", code{terminology + "adjudication", kind, display}.concept()}, {"amount", money(amount)}}
}

// billedFor gives the ICD-10-CM code that explains the visit.
func (r *record) billedFor(v *visit) list {
	why := icd("Z00.00", "Encounter for general adult medical examination without abnormal findings")
	switch {
	case v.ailment != nil:
		why = v.ailment.icd
	case v.kind == inpatient:
		why = icd("J18.9", "Pneumonia, unspecified organism")
	case v.kind == prenatal:
		why = icd("Z34.90", "Encounter for supervision of normal pregnancy, unspecified, unspecified trimester")
	case v.kind == wellness && r.age(v.start) < 18:
		why = icd("Z00.129", "Encounter for routine child health examination without abnormal findings")
	case v.kind != wellness && len(r.problems) > 0:
		why = r.problems[0].icd
	}
	return list{obj{{"sequence", 1}, {"diagnosisCodeableConcept", why.concept()}}}
}

func (r *record) invoice(v *visit, account string, share float64, at time.Time) {
	status := "balanced"
	if v.start.After(r.world.today.AddDate(0, 0, -70)) {
		status = "issued"
	}
	if !at.Before(r.world.today) {
		return
	}
	id := r.chart.id("bill")
	r.add(entry{typ: "Invoice", id: id, at: at, author: healthSystem}, obj{
		{"identifier", list{identifier(own+"invoice", id)}},
		{"status", status},
		{"subject", r.ref().bare()},
		{"recipient", r.ref().json()},
		{"date", dateTime(at)},
		{"issuer", healthSystem.json()},
		{"account", ref("Account", account)},
		{"lineItem", list{obj{
			{"sequence", 1},
			{"chargeItemCodeableConcept", concept("Your share of the visit of " + date(v.start))},
			{"priceComponent", list{obj{{"type", "base"}, {"amount", money(share)}}}},
		}}},
		{"totalNet", money(share)},
		{"totalGross", money(share)},
		{"paymentTerms", "Please pay within 30 days."},
	})
}
