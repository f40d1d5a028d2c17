package records

// drug is one line of the formulary.
type drug struct {
	key        string
	code       code
	form       string
	dose       float64 // per intake
	unit, ucum string
	places     int
	times      int    // a day
	text       string // the instruction as printed
	supply     int    // amount dispensed
	refills    int
	once       bool // a course, not for good
	asNeeded   bool
	byRef      bool // prescribed through a Medication resource
}

func (m drug) medicationID() string { return "med-" + m.code.value }

func rx(value, display string) code { return code{rxnorm, value, display} }

// catalogue is the formulary. Codes are RxNorm clinical drugs.
func catalogue() []drug { return drugs }

var drugs = []drug{
	{"lisinopril", rx("314076", "lisinopril 10 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily", 90, 3, false, false, false},
	{"amlodipine", rx("197361", "amlodipine 5 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily", 90, 3, false, false, false},
	{"atorvastatin", rx("617310", "atorvastatin 20 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth at bedtime", 90, 3, false, false, true},
	{"metformin", rx("860975", "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet"), "Extended Release Oral Tablet", 2, "tablet", "{tbl}", 0, 1, "Take 2 tablets by mouth with the evening meal", 180, 3, false, false, false},
	{"glipizide", rx("310488", "glipizide 10 MG Oral Tablet"), "Oral Tablet", 0.5, "tablet", "{tbl}", 1, 1, "Take half a tablet by mouth before breakfast", 45, 2, false, false, false},
	{"levothyroxine", rx("966222", "levothyroxine sodium 0.075 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth every morning on an empty stomach", 90, 3, false, false, true},
	{"albuterol", rx("2123111", "NDA020503 200 ACTUAT albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"), "Metered Dose Inhaler", 2, "puff", "{puff}", 0, 4, "Inhale 2 puffs every 4 to 6 hours as needed for wheezing", 1, 2, false, true, false},
	{"fluticasone", rx("895996", "120 ACTUAT fluticasone propionate 0.044 MG/ACTUAT Metered Dose Inhaler [Flovent]"), "Metered Dose Inhaler", 2, "puff", "{puff}", 0, 2, "Inhale 2 puffs twice daily, rinse mouth after use", 1, 5, false, false, true},
	{"tiotropium", rx("580261", "tiotropium 0.018 MG Inhalation Powder"), "Inhalation Powder", 1, "capsule", "{capsule}", 0, 1, "Inhale the content of 1 capsule once daily", 30, 5, false, false, false},
	{"cetirizine", rx("1014676", "cetirizine hydrochloride 5 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily during the season", 30, 5, false, true, false},
	{"sumatriptan", rx("313161", "sumatriptan 50 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth at the first sign of migraine, may repeat once after 2 hours", 9, 3, false, true, false},
	{"sertraline", rx("312941", "sertraline 50 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily", 90, 1, false, false, false},
	{"omeprazole", rx("198051", "omeprazole 20 MG Delayed Release Oral Capsule"), "Delayed Release Oral Capsule", 1, "capsule", "{capsule}", 0, 1, "Take 1 capsule by mouth 30 minutes before breakfast", 90, 2, false, false, false},
	{"acetaminophen", rx("313782", "acetaminophen 325 MG Oral Tablet"), "Oral Tablet", 2, "tablet", "{tbl}", 0, 3, "Take 2 tablets by mouth every 8 hours as needed for pain", 100, 1, false, true, false},
	{"alendronate", rx("904419", "alendronic acid 10 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth with a full glass of water, stay upright for 30 minutes", 90, 3, false, false, false},
	{"aspirin", rx("243670", "aspirin 81 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily", 90, 3, false, false, false},
	{"metoprolol", rx("866924", "metoprolol tartrate 25 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 2, "Take 1 tablet by mouth twice daily", 180, 3, false, false, false},
	{"apixaban", rx("1364445", "apixaban 5 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 2, "Take 1 tablet by mouth twice daily", 180, 3, false, false, true},
	{"furosemide", rx("313988", "furosemide 40 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth every morning", 90, 3, false, false, false},
	{"tamsulosin", rx("863669", "tamsulosin hydrochloride 0.4 MG Oral Capsule"), "Oral Capsule", 1, "capsule", "{capsule}", 0, 1, "Take 1 capsule by mouth 30 minutes after the same meal each day", 90, 3, false, false, false},
	{"allopurinol", rx("197319", "allopurinol 100 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily", 90, 3, false, false, false},
	{"iron", rx("310325", "ferrous sulfate 325 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily with orange juice", 90, 1, false, false, false},
	{"donepezil", rx("997223", "donepezil hydrochloride 10 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth at bedtime", 90, 3, false, false, false},
	{"amoxicillin", rx("308191", "amoxicillin 500 MG Oral Capsule"), "Oral Capsule", 1, "capsule", "{capsule}", 0, 2, "Take 1 capsule by mouth twice daily for 10 days", 20, 0, true, false, false},
	{"amoxicillin-liquid", rx("308189", "amoxicillin 80 MG/ML Oral Suspension"), "Oral Suspension", 5, "mL", "mL", 0, 2, "Take 5 mL by mouth twice daily for 10 days", 100, 0, true, false, false},
	{"nitrofurantoin", rx("1648755", "nitrofurantoin, macrocrystals 25 MG / nitrofurantoin, monohydrate 75 MG Oral Capsule"), "Oral Capsule", 1, "capsule", "{capsule}", 0, 2, "Take 1 capsule by mouth twice daily with food for 5 days", 10, 0, true, false, false},
	{"ibuprofen", rx("310965", "ibuprofen 200 MG Oral Tablet"), "Oral Tablet", 2, "tablet", "{tbl}", 0, 3, "Take 2 tablets by mouth every 8 hours with food as needed", 60, 0, true, true, false},
	{"folate", rx("310410", "folic acid 1 MG Oral Tablet"), "Oral Tablet", 1, "tablet", "{tbl}", 0, 1, "Take 1 tablet by mouth once daily", 90, 2, false, false, false},
}

func drugOf(key string) drug {
	for _, m := range drugs {
		if m.key == key {
			return m
		}
	}
	return drug{}
}
