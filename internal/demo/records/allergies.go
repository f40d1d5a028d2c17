package records

import "time"

type allergen struct {
	code     code
	category string
	share    float64
	grave    bool
	reaction code
}

var (
	rash        = sct("271807003", "Eruption of skin")
	anaphylaxis = sct("39579001", "Anaphylaxis")
	sneezing    = sct("76067001", "Sneezing")
	hives       = sct("126485001", "Urticaria")
)

var allergens = []allergen{
	{rx("7980", "penicillin G"), "medication", 0.1, false, rash},
	{rx("10831", "sulfamethoxazole / trimethoprim"), "medication", 0.04, false, hives},
	{rx("1191", "aspirin"), "medication", 0.03, false, hives},
	{sct("762952008", "Peanut"), "food", 0.03, true, anaphylaxis},
	{sct("735029006", "Shellfish"), "food", 0.03, false, hives},
	{sct("256277009", "Grass pollen"), "environment", 0.14, false, sneezing},
	{sct("264287008", "Animal dander"), "environment", 0.06, false, sneezing},
}

// allergies writes what the patient does not tolerate, or that nothing is known.
func (r *record) allergies() {
	d := r.dice("allergies")
	first := r.since.AddDate(0, 0, 1)
	if len(r.visits) > 0 {
		first = r.visits[0].start
	}
	none := true
	for i, x := range allergens {
		if d.chance(x.share) || r.index == 0 && i == 0 || r.index == int(child) && i == 3 {
			none = false
			r.allergy(x, first)
		}
	}
	if none {
		e := r.by("AllergyIntolerance", r.chart.id("allergy"), "us-core-allergyintolerance", first)
		r.add(e, obj{
			{"clinicalStatus", code{terminology + "allergyintolerance-clinical", "active", "Active"}.concept()},
			{"verificationStatus", code{terminology + "allergyintolerance-verification", "confirmed", "Confirmed"}.concept()},
			{"code", sct("716186003", "No known allergy").concept()},
			{"patient", r.ref().bare()},
			{"recordedDate", dateTime(first)},
		})
	}
}

func (r *record) allergy(x allergen, at time.Time) {
	criticality, severity := "low", "mild"
	if x.grave {
		criticality, severity = "high", "severe"
	}
	manifestation := x.reaction.concept()
	if r.gaps { // nobody remembers what happened
		manifestation = unknown()
	}
	onset := r.birth.AddDate(2+r.index%5, 3, 0)
	if onset.After(at) {
		onset = r.birth
	}
	e := r.by("AllergyIntolerance", r.chart.id("allergy"), "us-core-allergyintolerance", at)
	r.add(e, obj{
		{"clinicalStatus", code{terminology + "allergyintolerance-clinical", "active", "Active"}.concept()},
		{"verificationStatus", code{terminology + "allergyintolerance-verification", "confirmed", "Confirmed"}.concept()},
		{"type", "allergy"},
		{"category", list{x.category}},
		{"criticality", criticality},
		{"code", x.code.concept()},
		{"patient", r.ref().bare()},
		{"onsetDateTime", date(onset)},
		{"recordedDate", dateTime(at)},
		{"recorder", e.author.json()},
		{"reaction", list{obj{{"manifestation", list{manifestation}}, {"severity", severity}}}},
	})
}
