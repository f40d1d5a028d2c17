package records

// analyte is one thing a laboratory measures.
type analyte struct {
	key        string
	code       code
	unit, ucum string
	places     int
	low, high  float64 // reference range; high 0: none above
	women      float64 // lower limit for women where it differs
	mean       float64 // of healthy people
	between    float64 // deviation from person to person
	within     float64 // and from time to time
}

var analytes = []analyte{
	{"a1c", loincCode("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"), "%", "%", 1, 4.0, 5.6, 0, 5.3, 0.22, 0.08},
	{"glucose", loincCode("2345-7", "Glucose [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 0, 70, 99, 0, 89, 5, 4},
	{"sodium", loincCode("2951-2", "Sodium [Moles/volume] in Serum or Plasma"), "mmol/L", "mmol/L", 0, 136, 145, 0, 140, 1.2, 1.2},
	{"potassium", loincCode("2823-3", "Potassium [Moles/volume] in Serum or Plasma"), "mmol/L", "mmol/L", 1, 3.5, 5.1, 0, 4.2, 0.2, 0.18},
	{"chloride", loincCode("2075-0", "Chloride [Moles/volume] in Serum or Plasma"), "mmol/L", "mmol/L", 0, 98, 107, 0, 103, 1.2, 1.2},
	{"co2", loincCode("2028-9", "Carbon dioxide, total [Moles/volume] in Serum or Plasma"), "mmol/L", "mmol/L", 0, 22, 29, 0, 25.5, 1, 1},
	{"bun", loincCode("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 0, 7, 20, 0, 14, 2, 1.5},
	{"creatinine", loincCode("2160-0", "Creatinine [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 2, 0.74, 1.35, 0.59, 0.95, 0.07, 0.04},
	{"calcium", loincCode("17861-6", "Calcium [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 1, 8.6, 10.3, 0, 9.5, 0.2, 0.15},
	{"alt", loincCode("1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma"), "U/L", "U/L", 0, 7, 56, 0, 23, 6, 4},
	{"ast", loincCode("1920-8", "Aspartate aminotransferase [Enzymatic activity/volume] in Serum or Plasma"), "U/L", "U/L", 0, 10, 40, 0, 22, 4, 3},
	{"albumin", loincCode("1751-7", "Albumin [Mass/volume] in Serum or Plasma"), "g/dL", "g/dL", 1, 3.5, 5.0, 0, 4.3, 0.2, 0.12},
	{"cholesterol", loincCode("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 0, 0, 199, 0, 178, 18, 8},
	{"triglyceride", loincCode("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 0, 0, 149, 0, 105, 22, 14},
	{"hdl", loincCode("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 0, 40, 0, 50, 54, 7, 2.5},
	{"wbc", loincCode("6690-2", "Leukocytes [#/volume] in Blood by Automated count"), "10*3/uL", "10*3/uL", 1, 4.5, 11.0, 0, 6.8, 1, 0.7},
	{"hemoglobin", loincCode("718-7", "Hemoglobin [Mass/volume] in Blood"), "g/dL", "g/dL", 1, 13.5, 17.5, 12.0, 14.6, 0.5, 0.25},
	{"mcv", loincCode("787-2", "MCV [Entitic volume] by Automated count"), "fL", "fL", 0, 80, 100, 0, 90, 2.5, 1},
	{"platelets", loincCode("777-3", "Platelets [#/volume] in Blood by Automated count"), "10*3/uL", "10*3/uL", 0, 150, 400, 0, 248, 35, 16},
	{"tsh", loincCode("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma"), "m[IU]/L", "m[IU]/L", 2, 0.4, 4.5, 0, 1.8, 0.5, 0.3},
	{"microalbumin", loincCode("14959-1", "Microalbumin/Creatinine [Mass Ratio] in Urine"), "mg/g", "mg/g", 0, 0, 29, 0, 9, 3, 2},
	{"urate", loincCode("3084-1", "Urate [Mass/volume] in Serum or Plasma"), "mg/dL", "mg/dL", 1, 3.4, 7.0, 2.4, 5.2, 0.6, 0.4},
	{"bnp", loincCode("33762-6", "Natriuretic peptide.B prohormone N-Terminal [Mass/volume] in Serum or Plasma"), "pg/mL", "pg/mL", 0, 0, 125, 0, 70, 20, 12},
	{"ferritin", loincCode("2276-4", "Ferritin [Mass/volume] in Serum or Plasma"), "ng/mL", "ng/mL", 0, 24, 336, 11, 95, 25, 12},
	{"lead", loincCode("77307-7", "Lead [Mass/volume] in Venous blood"), "ug/dL", "ug/dL", 1, 0, 3.4, 0, 1.3, 0.4, 0.3},

	// worked out from others
	{"egfr", loincCode("98979-8", "Glomerular filtration rate/1.73 sq M.predicted [Volume Rate/Area] in Serum, Plasma or Blood by Creatinine-based formula (CKD-EPI 2021)"), "mL/min/{1.73_m2}", "mL/min/{1.73_m2}", 0, 60, 0, 0, 0, 0, 0},
	{"ldl", loincCode("13457-7", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by calculation"), "mg/dL", "mg/dL", 0, 0, 99, 0, 0, 0, 0},
	{"hematocrit", loincCode("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count"), "%", "%", 1, 41, 53, 36, 0, 0, 0},
	{"rbc", loincCode("789-8", "Erythrocytes [#/volume] in Blood by Automated count"), "10*6/uL", "10*6/uL", 2, 4.5, 5.9, 4.1, 0, 0, 0},
}

// panel is what is ordered together and reported in one DiagnosticReport.
type panel struct {
	key     string
	code    code
	sample  string // key of a specimen kind
	members []string
}

var panels = []panel{
	{"metabolic", loincCode("24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma"), "serum", []string{"glucose", "sodium", "potassium", "chloride", "co2", "bun", "creatinine", "egfr", "calcium", "albumin", "alt", "ast"}},
	{"basic", loincCode("51990-0", "Basic metabolic panel - Blood"), "serum", []string{"glucose", "sodium", "potassium", "bun", "creatinine", "egfr", "calcium"}},
	{"lipid", loincCode("24331-1", "Lipid 1996 panel - Serum or Plasma"), "serum", []string{"cholesterol", "triglyceride", "hdl", "ldl"}},
	{"cbc", loincCode("58410-2", "CBC panel - Blood by Automated count"), "blood", []string{"wbc", "rbc", "hemoglobin", "hematocrit", "mcv", "platelets"}},
	{"a1c", loincCode("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"), "blood", []string{"a1c"}},
	{"glucose", loincCode("2345-7", "Glucose [Mass/volume] in Serum or Plasma"), "serum", []string{"glucose", "creatinine", "egfr"}},
	{"tsh", loincCode("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma"), "serum", []string{"tsh"}},
	{"microalbumin", loincCode("14959-1", "Microalbumin/Creatinine [Mass Ratio] in Urine"), "urine", []string{"microalbumin"}},
	{"urate", loincCode("3084-1", "Urate [Mass/volume] in Serum or Plasma"), "serum", []string{"urate"}},
	{"bnp", loincCode("33762-6", "Natriuretic peptide.B prohormone N-Terminal [Mass/volume] in Serum or Plasma"), "serum", []string{"bnp"}},
	{"ferritin", loincCode("2276-4", "Ferritin [Mass/volume] in Serum or Plasma"), "serum", []string{"ferritin"}},
	{"lead", loincCode("77307-7", "Lead [Mass/volume] in Venous blood"), "blood", []string{"lead"}},
}

// quickTest has an answer in words.
type quickTest struct {
	key      string
	code     code
	sample   string
	positive float64 // how often, when it is ordered for a complaint
}

var quickTests = []quickTest{
	{"strep", loincCode("78012-2", "Streptococcus pyogenes Ag [Presence] in Throat by Rapid immunoassay"), "throat", 0.9},
	{"covid", loincCode("94558-4", "SARS-CoV-2 (COVID-19) Ag [Presence] in Respiratory system specimen by Rapid immunoassay"), "nose", 0.97},
	{"urine", loincCode("5802-4", "Nitrite [Presence] in Urine by Test strip"), "urine", 0.8},
}

var sampleKinds = map[string]code{
	"serum":  sct("119364003", "Serum specimen"),
	"blood":  sct("119297000", "Blood specimen"),
	"urine":  sct("122575003", "Urine specimen"),
	"throat": sct("258529004", "Throat swab"),
	"nose":   sct("258500001", "Nasopharyngeal swab"),
}
