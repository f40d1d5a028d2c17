package records

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// blockSize is how many patients make a block. Each place of a block has its
// part, so that families and group visits follow from a patient's number alone.
const blockSize = 10

// role is the part a patient plays in its block.
type role int

const (
	adult      role = iota // lives alone, meets groupPeer
	parent                 // of child
	child                  // school age or below
	elder                  // many medications
	groupPeer              // of another family, in adult's group visit
	ward                   // a small child in the care of a guardian
	expecting              // a young woman
	teenParent             // of teen
	teen                   //
	departing              // old; some have died
)

// plan is everything about a patient that several areas need to agree on.
type plan struct {
	world  *world
	index  int
	id     string
	role   role
	clinic *clinic

	doctorIndex int // which of the clinic's doctors
	rank        int // unique among the patients of that doctor

	female        bool
	given, middle string
	family        string
	birth         time.Time
	died          time.Time // zero when alive
	since         time.Time // the record begins
	race          omb
	hispanic      bool
	home          town
	street        string
	kin           []kin
	problems      []problem
	smoker        smoking
	stature       stature
	insurer       insurer
	pregnant      bool
	rich          bool // seen every three months, for years
	gaps          bool // a chart with gaps, for the missing-data rules
}

// kin is a person related to a patient. patient is that person's own record.
type kin struct {
	role, name    code
	given, family string
	birth         time.Time
	female        bool
	patient       string
}

// problem is a chronic illness and when it began.
type problem struct {
	*illness
	onset time.Time
}

func (p *plan) doctor() doctor { return p.clinic.doctors[p.doctorIndex] }

func (p *plan) ref() reference { return reference{"Patient/" + p.id, p.fullName()} }

func (p *plan) fullName() string { return p.given + " " + p.family }

func (p *plan) dice(area string) dice { return p.world.dice(area, p.index) }

func (p *plan) age(at time.Time) float64 { return yearsBetween(p.birth, at) }

func (p *plan) minor() bool { return p.age(p.world.today) < 18 }

// end is the last moment the record may speak of.
func (p *plan) end() time.Time {
	if !p.died.IsZero() {
		return p.died
	}
	return p.world.today
}

// has gives the onset of an illness, and whether it has begun at all by then.
func (p *plan) has(key string, at time.Time) (time.Time, bool) {
	for _, x := range p.problems {
		if x.key == key && !x.onset.After(at) {
			return x.onset, true
		}
	}
	return time.Time{}, false
}

func (p *plan) pronoun(she, he string) string {
	if p.female {
		return she
	}
	return he
}

func patientID(index int) string { return fmt.Sprintf("p-%05d", index+1) }

// ageOf gives the range of ages of each part, in years.
var ageOf = [blockSize][2]float64{
	adult: {32, 66}, parent: {28, 44}, child: {2, 11}, elder: {66, 88}, groupPeer: {35, 70},
	ward: {0.3, 3}, expecting: {23, 38}, teenParent: {38, 54}, teen: {12.2, 17.5}, departing: {70, 90},
}

// plan works out one patient.
func (w *world) plan(index int) *plan {
	p := &plan{world: w, index: index, id: patientID(index), role: role(index % blockSize)}
	d := p.dice("person")
	p.clinic = w.clinic(index / clinicSize)
	p.place()
	span := ageOf[p.role]
	p.birth = w.today.AddDate(0, 0, -int(d.uniform(span[0], span[1])*365.2425))
	p.female = d.chance(0.51)
	if p.role == expecting {
		p.female = true
		p.pregnant = d.chance(0.3)
	}
	p.household()
	p.given, p.middle = pick(d, p.givenNames()), pick(d, p.givenNames())
	p.smoker = drawSmoking(d, p)
	p.stature = drawStature(d)
	p.insurer = insurers[d.IntN(3)]
	if p.age(w.today) >= 65 {
		p.insurer = insurers[3]
	}
	if p.role == departing && d.chance(0.3) {
		p.died = w.today.AddDate(0, 0, -d.between(40, 900)).Add(time.Duration(d.between(0, 23*60)) * time.Minute)
	}
	p.gaps = d.chance(0.05)
	p.problems = drawProblems(d, p)
	if index < blockSize {
		p.script()
	}
	p.setSince(d)
	p.kin = p.relatives()
	return p
}

func (p *plan) givenNames() []string {
	if p.female {
		return givenFemale
	}
	return givenMale
}

// place gives the patient its doctor and its rank among that doctor's patients.
func (p *plan) place() {
	block := p.index % clinicSize / blockSize
	switch p.role {
	case child, ward, teen:
		p.doctorIndex = childDoctor
		p.rank = block*3 + map[role]int{child: 0, ward: 1, teen: 2}[p.role]
	default:
		p.doctorIndex = (block + int(p.role)) % 2
		p.rank = block*7 + slices.Index([]role{adult, parent, elder, groupPeer, expecting, teenParent, departing}, p.role)
	}
}

// householdOf says with whom a patient shares name and address: parents with
// their children, everybody else alone.
func householdOf(r role) role {
	switch r {
	case child:
		return parent
	case teen:
		return teenParent
	}
	return r
}

func (p *plan) household() {
	d := p.world.dice("household", p.index/blockSize*blockSize+int(householdOf(p.role)))
	p.family = pick(d, families)
	p.home = p.clinic.town
	p.street = fmt.Sprintf("%d %s", d.between(100, 9800), pick(d, streets))
	p.race = pick(d, races)
	p.hispanic = d.chance(0.3)
}

// setSince begins the record: at birth, or some years ago.
func (p *plan) setSince(d dice) {
	years := d.between(1, 4)
	switch {
	case p.rich:
		years = 10
	case len(p.problems) > 1:
		years = d.between(2, 4)
	}
	p.since = weekday(p.end().AddDate(-years, 0, -d.between(0, 200)))
	if p.since.Before(p.birth) {
		p.since = p.birth
	}
}

var (
	mother        = code{terminology + "v3-RoleCode", "MTH", "mother"}
	father        = code{terminology + "v3-RoleCode", "FTH", "father"}
	guardian      = code{terminology + "v3-RoleCode", "GUARD", "guardian"}
	grandmother   = code{terminology + "v3-RoleCode", "GRMTH", "grandmother"}
	daughter      = code{terminology + "v3-RoleCode", "DAUC", "daughter"}
	son           = code{terminology + "v3-RoleCode", "SONC", "son"}
	spouse        = code{terminology + "v3-RoleCode", "SPS", "spouse"}
	naturalSister = code{terminology + "v3-RoleCode", "SIS", "sister"}
)

// relatives gives the people of a patient's RelatedPerson resources. For a child
// the first one is who may act for it.
func (p *plan) relatives() []kin {
	d := p.dice("kin")
	switch p.role {
	case child, teen:
		first := p.world.plan(p.index - 1) // the parent stands before its child
		relation := father
		if first.female {
			relation = mother
		}
		return []kin{{role: relation, given: first.given, family: first.family, birth: first.birth, female: first.female, patient: first.id}}
	case ward:
		k := kin{role: guardian, name: grandmother, given: pick(d, givenFemale), family: p.family, birth: p.world.today.AddDate(-d.between(52, 68), 0, -d.between(0, 300)), female: true}
		if p.index < blockSize {
			k.given = "Grace"
		}
		return []kin{k}
	case elder, departing:
		k := kin{role: daughter, given: pick(d, givenFemale), family: p.family, birth: p.birth.AddDate(d.between(24, 34), d.between(0, 11), 0), female: true}
		if d.chance(0.5) {
			k.role, k.given, k.female = son, pick(d, givenMale), false
		}
		return []kin{k}
	}
	if d.chance(0.6) {
		k := kin{role: spouse, given: pick(d, givenFemale), family: p.family, birth: p.birth.AddDate(0, d.between(-40, 40), 3), female: true}
		if p.female {
			k.given, k.female = pick(d, givenMale), false
		}
		return []kin{k}
	}
	return []kin{{role: naturalSister, given: pick(d, givenFemale), family: p.family, birth: p.birth.AddDate(d.between(-4, 6), d.between(0, 11), 0), female: true}}
}

// kinRef gives the RelatedPerson of the n-th relative.
func (p *plan) kinRef(n int) reference {
	k := p.kin[n]
	return reference{fmt.Sprintf("RelatedPerson/%s-rp-%d", p.id, n+1), k.given + " " + k.family}
}

func mailOf(given, family string) string {
	clean := strings.NewReplacer("'", "", "é", "e", "ú", "u", "ñ", "n", "í", "i", " ", "")
	return strings.ToLower(clean.Replace(given) + "." + clean.Replace(family) + "@example.org")
}
