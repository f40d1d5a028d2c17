package records

import (
	"fmt"
	"time"
)

// demographics writes the Patient.
func (r *record) demographics() {
	d := r.dice("demographics")
	names := list{obj{
		{"use", "official"}, {"family", r.family}, {"given", list{r.given, r.middle[:1] + "."}},
		{"suffix", r.suffix(d)}, {"period", obj{{"start", date(r.nameSince())}}},
	}}
	if r.age(r.world.today) > 25 && r.female && (r.index == 0 || d.chance(0.3)) {
		names = append(names, obj{
			{"use", "old"}, {"family", pick(d, families)}, {"given", list{r.given}},
			{"period", obj{{"start", date(r.birth)}, {"end", date(r.nameSince())}}},
		})
	}
	moved := weekday(r.since.AddDate(0, 5, 0))
	homes := list{address(r.home, r.street, "home", moved, time.Time{})}
	if r.index == 0 || d.chance(0.3) {
		homes = append(homes, address(pick(d, towns), fmt.Sprintf("%d %s", d.between(10, 900), pick(d, streets)), "old", r.birth, moved))
	}
	gender, language := r.pronoun("female", "male"), english
	if r.hispanic && d.chance(0.4) {
		language = spanish
	}
	body := obj{
		{"text", narrative(r.given + " " + r.family)},
		{"extension", r.extensions(d)},
		{"identifier", list{obj{
			{"use", "usual"},
			{"type", concept("Medical record number", code{terminology + "v2-0203", "MR", "Medical record number"})},
			{"system", own + "mrn"}, {"value", fmt.Sprintf("SV%07d", 1000003+r.index*7)},
		}}},
		{"active", r.died.IsZero()},
		{"name", names},
		{"telecom", r.contact()},
		{"gender", gender},
		{"birthDate", date(r.birth)},
	}
	if !r.died.IsZero() {
		body = append(body, field{"deceasedDateTime", dateTime(r.died)})
	}
	body = append(body,
		field{"address", homes},
		field{"communication", list{obj{{"language", language.concept()}, {"preferred", true}}}},
		field{"generalPractitioner", list{r.doctor().ref().json()}},
		field{"managingOrganization", healthSystem.json()})
	r.add(entry{typ: "Patient", id: r.id, profile: "us-core-patient", at: r.lastSeen(), version: 2 + len(r.visits)/4, author: healthSystem}, body)
}

// contact is how the patient can be reached. Some have declined to say: the
// required value then stands as a data-absent-reason (US Core 6.1.0, missing data).
func (r *record) contact() list {
	if r.gaps {
		return list{obj{{"system", "phone"}, {"_value", absent("asked-declined")}, {"use", "home"}}}
	}
	return telecoms(fmt.Sprintf("520-555-01%02d", r.index%100), mailOf(r.given, r.family), "home")
}

func (r *record) lastSeen() time.Time {
	if v := r.latest(); v != nil {
		return v.end
	}
	return r.since
}

func (r *record) suffix(d dice) list {
	switch {
	case r.index == 0:
		return list{"PhD"}
	case !r.female && d.chance(0.08):
		return list{"Jr."}
	}
	return nil
}

// nameSince is the day the present name began: birth, or a marriage.
func (r *record) nameSince() time.Time {
	if at := r.birth.AddDate(24, 3, 0); at.Before(r.world.today) {
		return at
	}
	return r.birth
}

func (r *record) extensions(d dice) list {
	text := func(o omb) obj { return extension("text", "valueString", o.category.display) }
	ethnicity := notHispanic
	if r.hispanic {
		ethnicity = hispanic
	}
	race := list{extension("ombCategory", "valueCoding", r.race.category.coding()), text(r.race)}
	sex, sexCode := r.pronoun("248152002", "248153007"), r.pronoun("F", "M")
	out := list{
		obj{{"url", usCore + "us-core-race"}, {"extension", race}},
		obj{{"url", usCore + "us-core-ethnicity"}, {"extension", list{extension("ombCategory", "valueCoding", ethnicity.category.coding()), text(ethnicity)}}},
		extension(usCore+"us-core-birthsex", "valueCode", sexCode),
		extension(usCore+"us-core-sex", "valueCode", sex),
	}
	if r.race == races[5] {
		tribe := code{terminology + "v3-TribalEntityUS", "170", "Navajo Nation, Arizona, New Mexico, & Utah"}
		out = append(out, obj{{"url", usCore + "us-core-tribal-affiliation"}, {"extension", list{
			extension("tribalAffiliation", "valueCodeableConcept", tribe.concept()),
			extension("isEnrolled", "valueBoolean", d.chance(0.7)),
		}}})
	}
	if r.age(r.world.today) >= 15 {
		identity := sct("446151000124109", "Identifies as male gender")
		if r.female {
			identity = sct("446141000124107", "Identifies as female gender")
		}
		out = append(out, extension(usCore+"us-core-genderIdentity", "valueCodeableConcept", identity.concept()))
	}
	return out
}

// relatedPersons writes who stands beside the patient. A parent's RelatedPerson
// belongs to the child's record; the parent's own record is another one.
func (r *record) relatedPersons() {
	for i, k := range r.kin {
		roles := list{k.role.concept()}
		if k.name.value != "" {
			roles = append(roles, k.name.concept())
		}
		gender := "male"
		if k.female {
			gender = "female"
		}
		r.add(entry{typ: "RelatedPerson", id: fmt.Sprintf("%s-rp-%d", r.id, i+1), profile: "us-core-relatedperson", at: r.since.AddDate(0, 0, 1), author: healthSystem}, obj{
			{"identifier", list{identifier(own+"related-person", fmt.Sprintf("%s-%d", r.id, i+1))}},
			{"active", true},
			{"patient", r.ref().json()},
			{"relationship", roles},
			{"name", list{obj{{"use", "official"}, {"family", k.family}, {"given", list{k.given}}}}},
			{"telecom", telecoms(fmt.Sprintf("520-555-01%02d", (r.index+50)%100), mailOf(k.given, k.family), "home")},
			{"gender", gender},
			{"birthDate", date(k.birth)},
			{"address", list{address(r.home, r.street, "home", r.since, time.Time{})}},
		})
	}
}
