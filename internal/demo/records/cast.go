package records

import (
	"slices"
	"time"
)

// Person is somebody who can sign in at the demo's OpenID provider.
type Person struct {
	Login, Password string
	Name, Email     string
	Story           string   // one sentence: what this person shows
	FHIRUser        []string // "Patient/…", "RelatedPerson/…", "Practitioner/…"; empty: no record
}

// Cast is who plays in a set of records.
type Cast struct {
	People     []Person
	Clinicians []Person // who open apps from the EHR; none when the set has no Practitioner
}

// password is everybody's. It protects nothing: the demo binds to loopback only
// and prints it.
const password = "demo"

// actor fixes one patient of the first block.
type actor struct {
	given, family string
	female        bool
	age           float64
	problems      map[string]float64 // illness -> years since it began
	login, story  string
	alsoKinOf     int // index of a patient for whom this person acts, 0 for none
}

// script is the first block: everything worth showing is in it.
var script = [blockSize]actor{
	adult: {given: "Alice", family: "Hartwell", female: true, age: 54.4, login: "alice",
		problems: map[string]float64{"diabetes": 8.6, "hypertension": 9.4, "hyperlipidemia": 8.6, "kidney": 2.2, "obesity": 9.5},
		story:    "An adult with ten years of labs: diabetes coming under control, kidneys worth watching."},
	parent: {given: "Maria", family: "Delgado", female: true, age: 36.8, login: "maria", alsoKinOf: int(child),
		problems: map[string]float64{"hypothyroid": 4.1, "migraine": 6},
		story:    "A mother who sees her own record and that of her son Leo."},
	child: {given: "Leo", family: "Delgado", age: 8.3, problems: map[string]float64{"asthma": 3.2}},
	elder: {given: "Walter", family: "Lindqvist", age: 78.5, login: "walter",
		problems: map[string]float64{"hypertension": 21, "heartfailure": 4.2, "fibrillation": 5.5, "coronary": 9, "copd": 11, "arthrosis": 12, "prostate": 8, "gout": 6, "reflux": 7, "hyperlipidemia": 15, "hypothyroid": 5},
		story:    "An older man with many medications, an implant and a stay in hospital."},
	groupPeer: {given: "Daniel", family: "Brooks", age: 47.2, login: "daniel", problems: map[string]float64{"diabetes": 3.3, "obesity": 5},
		story: "Shares a diabetes group visit with Alice; neither may see the other's record."},
	ward:      {given: "Noah", family: "Whitfield", age: 0.85},
	expecting: {given: "Sofia", family: "Marchetti", female: true, age: 31.1, login: "sofia", problems: map[string]float64{"rhinitis": 6}, story: "Expects a child: pregnancy status, ultrasound and visits to come."},
	teenParent: {given: "Thomas", family: "Nguyen", age: 45.6, login: "thomas", alsoKinOf: int(teen), problems: map[string]float64{"hyperlipidemia": 3, "anxiety": 4},
		story: "A father who sees his own record and that of his daughter Emma, who signs in herself."},
	teen:      {given: "Emma", family: "Nguyen", female: true, age: 15.4, login: "emma", problems: map[string]float64{"eczema": 7}, story: "A teenager with her own access, beside her father's."},
	departing: {given: "Ruth", family: "Abernathy", female: true, age: 86.3, problems: map[string]float64{"dementia": 4, "hypertension": 22, "osteoporosis": 9, "heartfailure": 3}},
}

// script gives a patient of the first block its part.
func (p *plan) script() {
	a := script[p.role]
	p.given, p.family, p.female = a.given, a.family, a.female
	p.birth = p.world.today.AddDate(0, 0, -int(a.age*365.2425))
	p.problems, p.pregnant, p.died = nil, false, time.Time{}
	p.gaps = p.role == teenParent
	for i := range illnesses {
		if years, ok := a.problems[illnesses[i].key]; ok {
			p.problems = append(p.problems, problem{&illnesses[i], weekday(p.world.today.AddDate(0, 0, -int(years*365.2425)))})
		}
	}
	p.smoker = neverSmoked
	switch p.role {
	case adult:
		p.rich = true
		p.race = races[3]
	case parent, child:
		p.hispanic = true
		p.race = races[0]
	case elder:
		p.rich = true
		p.smoker = formerSmoker
		p.race = races[0]
	case ward:
		p.race = races[5]
	case expecting:
		p.pregnant = true
	case departing:
		p.died = p.world.today.AddDate(0, 0, -96).Add(4*time.Hour + 17*time.Minute)
	}
	p.insurer = insurers[p.index%3]
	if a.age >= 65 {
		p.insurer = insurers[3]
	}
}

// cast gives the people of the first block whose records exist, and one with none.
func cast(patients int) *Cast {
	c := &Cast{}
	for i, a := range script {
		if a.login == "" || i >= patients {
			continue
		}
		person := newPerson(a.login, a.given, a.family, a.story, "Patient/"+patientID(i))
		if a.alsoKinOf != 0 && a.alsoKinOf < patients {
			person.FHIRUser = append(person.FHIRUser, "RelatedPerson/"+patientID(a.alsoKinOf)+"-rp-1")
		}
		c.People = append(c.People, person)
	}
	if int(ward) < patients {
		grace := newPerson("grace", "Grace", "Whitfield", "A grandmother and guardian: no record of her own, access to little Noah's.", "RelatedPerson/"+patientID(int(ward))+"-rp-1")
		c.People = slices.Insert(c.People, min(4, len(c.People)), grace)
	}
	c.People = append(c.People, stranger())
	return c
}

// clinician is an internist of the first clinic.
func clinician(w *world) Person {
	d := w.clinic(0).doctors[internist]
	return newPerson("doctor", d.given, d.family, "A physician: opens apps from the EHR for a patient, and nobody's record without it.", d.ref().target)
}

// stranger is the person without a record.
func stranger() Person {
	return newPerson("nora", "Nora", "Field", "Can sign in, but no record belongs to her.")
}

func newPerson(login, given, family, story string, users ...string) Person {
	return Person{Login: login, Password: password, Name: given + " " + family, Email: mailOf(given, family), Story: story, FHIRUser: users}
}
