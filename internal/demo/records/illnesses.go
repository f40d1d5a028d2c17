package records

import "time"

// illness is a chronic condition: how common it is, and what follows from it.
type illness struct {
	key      string
	snomed   code
	icd      code
	from, to float64 // ages at which it may begin
	share    float64 // of those at the end of that span
	women    float64 // factors by sex; 0 excludes
	men      float64
	drugs    []string // keys of the catalogue, in the order of prescription
}

func sct(value, display string) code { return code{snomed, value, display} }

func icd(value, display string) code { return code{icd10, value, display} }

var illnesses = []illness{
	{"hypertension", sct("59621000", "Essential hypertension"), icd("I10", "Essential (primary) hypertension"), 35, 80, 0.55, 1, 1, []string{"lisinopril", "amlodipine"}},
	{"hyperlipidemia", sct("55822004", "Hyperlipidemia"), icd("E78.5", "Hyperlipidemia, unspecified"), 35, 75, 0.4, 1, 1, []string{"atorvastatin"}},
	{"diabetes", sct("44054006", "Type 2 diabetes mellitus"), icd("E11.9", "Type 2 diabetes mellitus without complications"), 38, 78, 0.2, 1, 1, []string{"metformin", "glipizide"}},
	{"kidney", sct("433144002", "Chronic kidney disease stage 3"), icd("N18.30", "Chronic kidney disease, stage 3 unspecified"), 55, 88, 0.12, 1, 1, nil},
	{"obesity", sct("414916001", "Obesity"), icd("E66.9", "Obesity, unspecified"), 20, 60, 0.2, 1, 1, nil},
	{"hypothyroid", sct("40930008", "Hypothyroidism"), icd("E03.9", "Hypothyroidism, unspecified"), 30, 75, 0.1, 1.6, 0.4, []string{"levothyroxine"}},
	{"asthma", sct("195967001", "Asthma"), icd("J45.909", "Unspecified asthma, uncomplicated"), 3, 30, 0.09, 1, 1, []string{"albuterol", "fluticasone"}},
	{"rhinitis", sct("61582004", "Allergic rhinitis"), icd("J30.9", "Allergic rhinitis, unspecified"), 6, 45, 0.14, 1, 1, []string{"cetirizine"}},
	{"eczema", sct("24079001", "Atopic dermatitis"), icd("L20.9", "Atopic dermatitis, unspecified"), 0.4, 12, 0.1, 1, 1, nil},
	{"migraine", sct("37796009", "Migraine"), icd("G43.909", "Migraine, unspecified, not intractable, without status migrainosus"), 16, 45, 0.1, 1.5, 0.5, []string{"sumatriptan"}},
	{"depression", sct("370143000", "Major depressive disorder"), icd("F32.9", "Major depressive disorder, single episode, unspecified"), 16, 65, 0.1, 1.3, 0.7, []string{"sertraline"}},
	{"anxiety", sct("197480006", "Anxiety disorder"), icd("F41.9", "Anxiety disorder, unspecified"), 15, 55, 0.1, 1.3, 0.7, []string{"sertraline"}},
	{"reflux", sct("235595009", "Gastroesophageal reflux disease"), icd("K21.9", "Gastro-esophageal reflux disease without esophagitis"), 25, 75, 0.18, 1, 1, []string{"omeprazole"}},
	{"arthrosis", sct("396275006", "Osteoarthritis"), icd("M19.90", "Unspecified osteoarthritis, unspecified site"), 48, 85, 0.35, 1.1, 0.9, []string{"acetaminophen"}},
	{"osteoporosis", sct("64859006", "Osteoporosis"), icd("M81.0", "Age-related osteoporosis without current pathological fracture"), 58, 88, 0.2, 1.7, 0.3, []string{"alendronate"}},
	{"copd", sct("13645005", "Chronic obstructive lung disease"), icd("J44.9", "Chronic obstructive pulmonary disease, unspecified"), 50, 80, 0.1, 0.9, 1.1, []string{"tiotropium", "albuterol"}},
	{"coronary", sct("53741008", "Coronary arteriosclerosis"), icd("I25.10", "Atherosclerotic heart disease of native coronary artery without angina pectoris"), 52, 85, 0.18, 0.7, 1.3, []string{"aspirin", "metoprolol"}},
	{"fibrillation", sct("49436004", "Atrial fibrillation"), icd("I48.91", "Unspecified atrial fibrillation"), 60, 90, 0.14, 0.9, 1.1, []string{"apixaban"}},
	{"heartfailure", sct("84114007", "Heart failure"), icd("I50.9", "Heart failure, unspecified"), 62, 90, 0.1, 0.9, 1.1, []string{"furosemide"}},
	{"prostate", sct("266569009", "Benign prostatic hyperplasia"), icd("N40.0", "Benign prostatic hyperplasia without lower urinary tract symptoms"), 52, 85, 0.35, 0, 1, []string{"tamsulosin"}},
	{"gout", sct("90560007", "Gout"), icd("M10.9", "Gout, unspecified"), 45, 80, 0.06, 0.5, 1.5, []string{"allopurinol"}},
	{"anemia", sct("87522002", "Iron deficiency anemia"), icd("D50.9", "Iron deficiency anemia, unspecified"), 16, 50, 0.06, 1.8, 0.2, []string{"iron"}},
	{"dementia", sct("26929004", "Alzheimer's disease"), icd("G30.9", "Alzheimer's disease, unspecified"), 74, 92, 0.12, 1, 1, []string{"donepezil"}},
}

// drawProblems gives a patient the illnesses of its age.
func drawProblems(d dice, p *plan) []problem {
	var out []problem
	age := p.age(p.world.today)
	for i := range illnesses {
		x := &illnesses[i]
		factor := x.men
		if p.female {
			factor = x.women
		}
		drawn, at := d.Float64(), d.uniform(x.from, x.to)
		if at < age && drawn < x.share*factor {
			onset := p.birth.AddDate(0, 0, int(at*365.2425))
			out = append(out, problem{x, weekday(onset)})
		}
	}
	return out
}

// ailment is an acute complaint that leads to a visit.
type ailment struct {
	snomed, icd code
	young       bool // seen in children
	grown       bool // seen in adults
	days        int  // until it is gone
	drug        string
	test        string // key of a lab panel
	fever       bool
	procedure   *code
}

var (
	throatSwab = sct("117015009", "Throat culture")
	splinting  = sct("79321009", "Application of splint")
)

var ailments = []ailment{
	{sct("54150009", "Upper respiratory infection"), icd("J06.9", "Acute upper respiratory infection, unspecified"), true, true, 10, "", "", true, nil},
	{sct("65363002", "Otitis media"), icd("H66.90", "Otitis media, unspecified, unspecified ear"), true, false, 10, "amoxicillin-liquid", "", true, nil},
	{sct("43878008", "Streptococcal sore throat"), icd("J02.0", "Streptococcal pharyngitis"), true, true, 10, "amoxicillin", "strep", true, &throatSwab},
	{sct("10509002", "Acute bronchitis"), icd("J20.9", "Acute bronchitis, unspecified"), false, true, 18, "albuterol", "", false, nil},
	{sct("68566005", "Urinary tract infection"), icd("N39.0", "Urinary tract infection, site not specified"), false, true, 7, "nitrofurantoin", "urine", false, nil},
	{sct("279039007", "Low back pain"), icd("M54.50", "Low back pain, unspecified"), false, true, 40, "ibuprofen", "", false, nil},
	{sct("44465007", "Sprain of ankle"), icd("S93.409A", "Sprain of unspecified ligament of unspecified ankle, initial encounter"), true, true, 35, "ibuprofen", "", false, &splinting},
	{sct("25374005", "Gastroenteritis"), icd("K52.9", "Noninfective gastroenteritis and colitis, unspecified"), true, true, 6, "", "", true, nil},
	{sct("36971009", "Sinusitis"), icd("J32.9", "Chronic sinusitis, unspecified"), false, true, 21, "amoxicillin", "", false, nil},
	{sct("40275004", "Contact dermatitis"), icd("L25.9", "Unspecified contact dermatitis, unspecified cause"), true, true, 14, "", "", false, nil},
	{sct("840539006", "COVID-19"), icd("U07.1", "COVID-19"), true, true, 12, "", "covid", true, nil},
}

// gone gives the day an acute complaint ends, zero while it lasts.
func (a ailment) gone(began, today time.Time) time.Time {
	if end := began.AddDate(0, 0, a.days); end.Before(today) {
		return end
	}
	return time.Time{}
}
