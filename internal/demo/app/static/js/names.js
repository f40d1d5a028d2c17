// Names of lab tests as people use them. A lab's own name is exact and long
// ("Creatinine [Mass/volume] in Serum or Plasma"); it is shown beside the table.

import { concept } from "./record.js";

// By LOINC code: where the short form of the name would still not be plain.
const PLAIN = {
  "1742-6": "ALT (liver)",
  "1920-8": "AST (liver)",
  "6768-6": "Alkaline phosphatase (liver, bones)",
  "2028-9": "Carbon dioxide (bicarbonate)",
  "2085-9": "HDL cholesterol",
  "13457-7": "LDL cholesterol",
  "18262-6": "LDL cholesterol",
  "2093-3": "Total cholesterol",
  "2571-8": "Triglycerides",
  "2339-0": "Blood sugar (glucose)",
  "2345-7": "Blood sugar (glucose)",
  "4548-4": "HbA1c (long-term blood sugar)",
  "33914-3": "Kidney function (eGFR)",
  "48642-3": "Kidney function (eGFR)",
  "62238-1": "Kidney function (eGFR)",
  "98979-8": "Kidney function (eGFR)",
  "9318-7": "Albumin in urine (kidney)",
  "14959-1": "Albumin in urine (kidney)",
  "3094-0": "Urea nitrogen (kidney)",
  "3016-3": "TSH (thyroid)",
  "3024-7": "Free T4 (thyroid)",
  "789-8": "Red blood cells",
  "6690-2": "White blood cells",
  "777-3": "Platelets",
  "787-2": "Size of red blood cells (MCV)",
  "5802-4": "Nitrite in urine",
  "6301-6": "Blood clotting (INR)",
  "34714-6": "Blood clotting (INR)",
  "33762-6": "Heart strain (NT-proBNP)",
  "2857-1": "PSA (prostate)",
};

export function testName(code) {
  const loinc = code?.coding?.find((c) => c.system === "http://loinc.org")?.code;
  const name = concept(code);
  return PLAIN[loinc] ?? (short(name) || name || "Test without a name");
}

// short drops how and in what the lab measured, as far as it is the usual way.
function short(name) {
  return name
    .replace(/\s*\[[^\]]*\]/g, "")
    .replace(/\s+in (Serum or Plasma|Serum, Plasma or Blood|Serum|Plasma|Blood)(?=$| by )/i, "")
    .replace(/\s+by .*$/i, "")
    .trim();
}
