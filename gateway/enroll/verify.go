package enroll

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
)

// self links the person to their own record, which must be there.
func (q *inquiry) self(ctx context.Context, id string) (Link, error) {
	patient, err := q.read(ctx, "Patient", id)
	if err != nil {
		return Link{}, err
	}
	return q.patient(patient)
}

// patient makes the link to a Patient that has been fetched.
func (q *inquiry) patient(patient *fhir.Resource) (Link, error) {
	if !active(patient) {
		return Link{}, noLink(unlinked, "the patient record is not in use")
	}
	for link := range patient.Root().At("link") {
		if link.Get("type").Text() == "replaced-by" {
			return Link{}, noLink(unsure, "the patient record was merged into another one")
		}
	}
	return Link{
		Source: q.source, Patient: patient.ID(), Relationship: Self, FHIRUser: "Patient/" + patient.ID(),
		Label: q.label(patient),
	}, nil
}

// proxy links the person to the patient for whom a RelatedPerson acts. The EHR
// alone says who that is.
func (q *inquiry) proxy(ctx context.Context, id string) (Link, error) {
	related, err := q.read(ctx, "RelatedPerson", id)
	if err != nil {
		return Link{}, err
	}
	if !active(related) {
		return Link{}, noLink(unlinked, "the RelatedPerson is not active")
	}
	period := related.Root().Get("period")
	if !q.within(period) {
		return Link{}, noLink(unlinked, "the RelatedPerson's period is not now")
	}
	reference := related.Root().Get("patient").Get("reference")
	ref := q.rule.base.Resolve(reference.Text())
	if !reference.IsString() || ref.Where != fhir.Local || ref.Type != "Patient" {
		return Link{}, noLink(unsure, "the RelatedPerson names no patient of this source")
	}
	patient, err := q.read(ctx, "Patient", ref.ID)
	if err != nil {
		return Link{}, err
	}
	l, err := q.patient(patient)
	if err != nil {
		return Link{}, err
	}
	l.Relationship, l.FHIRUser = Proxy, "RelatedPerson/"+id
	if end := period.Get("end"); end.Exists() {
		_, l.Until, _ = span(end.Text()) // within has read it
	}
	return l, nil
}

// practitioner links the person to what they are at the EHR, when the claim
// fhirUser says that they work there. Two of them are nobody.
func (q *inquiry) practitioner(ctx context.Context, claims map[string]any) (Link, error) {
	references, err := texts(claims[fhirUserClaim])
	if err != nil {
		return Link{}, err
	}
	id := ""
	for _, text := range references {
		ref := q.rule.base.Resolve(text)
		if ref.Where != fhir.Local || ref.Version != "" || ref.Type != "Practitioner" {
			continue
		}
		if id != "" && id != ref.ID {
			return Link{}, noLink(unsure, "the claim names the person as more than one Practitioner")
		}
		id = ref.ID
	}
	if id == "" {
		return Link{}, noLink(unlinked, "the claim names no Practitioner of this source")
	}
	found, err := q.read(ctx, "Practitioner", id)
	if err != nil {
		return Link{}, err
	}
	if !active(found) {
		return Link{}, noLink(unlinked, "the Practitioner is not active")
	}
	return Link{Source: q.source, Relationship: Practitioner, FHIRUser: "Practitioner/" + id, Label: q.label(found)}, nil
}

// read fetches one resource and makes sure that it is the one that was asked
// for. What is missing or is something else is NotFound; an outage keeps its
// kind.
func (q *inquiry) read(ctx context.Context, typ, id string) (*fhir.Resource, error) {
	key := typ + "/" + id
	if known, there := q.seen[key]; there {
		return known.resource, known.err
	}
	resource, err := q.fetch(ctx, typ, id)
	q.seen[key] = answer{resource, err}
	return resource, err
}

func (q *inquiry) fetch(ctx context.Context, typ, id string) (*fhir.Resource, error) {
	raw, err := q.lookup.Read(ctx, q.source, typ, id)
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return nil, noLink(unlinked, "the EHR has no such "+typ)
	case err != nil:
		return nil, outage(err)
	}
	resource, err := fhir.ParseResource(raw)
	if err != nil {
		return nil, noLink(unsure, "the EHR's "+typ+" cannot be read")
	}
	if resource.Type() != typ || resource.ID() != id {
		return nil, noLink(unsure, "the EHR answered with another resource than the "+typ+" that was asked for")
	}
	return resource, nil
}

// active reads the modifier element active: absent counts as true (R4 Patient
// and RelatedPerson, "meaning if missing"). Anything but true does not, nor a
// value that is withheld with an extension alone.
func active(r *fhir.Resource) bool {
	node := r.Root().Get("active")
	if !node.Exists() {
		return !r.Root().Get("_active").Exists()
	}
	return !node.IsString() && node.Text() == "true"
}

// within says whether now lies in a Period. An absent one has no bounds; one
// that cannot be read holds nothing.
func (q *inquiry) within(period fhir.Node) bool {
	if !period.Exists() {
		return true
	}
	if !period.IsObject() {
		return false
	}
	if start := period.Get("start"); start.Exists() {
		from, _, ok := span(start.Text())
		if !ok || q.now.Before(from) {
			return false
		}
	}
	if end := period.Get("end"); end.Exists() {
		_, until, ok := span(end.Text())
		if !ok || !q.now.Before(until) {
			return false
		}
	}
	return true
}

// span gives the time that a FHIR dateTime covers, [from, until): a year, a
// month, a day or a second (R4 datatypes, Period: an end includes all of it).
// Dates have no zone; they are taken as UTC.
func span(text string) (from, until time.Time, ok bool) {
	for _, form := range []struct {
		layout              string
		years, months, days int
		rest                time.Duration
	}{
		{"2006", 1, 0, 0, 0}, {"2006-01", 0, 1, 0, 0}, {time.DateOnly, 0, 0, 1, 0}, {time.RFC3339, 0, 0, 0, time.Second},
	} {
		if t, err := time.Parse(form.layout, text); err == nil {
			return t.UTC(), t.AddDate(form.years, form.months, form.days).Add(form.rest).UTC(), true
		}
	}
	return time.Time{}, time.Time{}, false
}

// label gives the patient's name for the person to choose by: official, usual,
// then any that is not out of use.
func (q *inquiry) label(patient *fhir.Resource) string {
	best, rank := "", 4
	for name := range patient.Root().At("name") {
		r := 3
		switch name.Get("use").Text() {
		case "official":
			r = 1
		case "usual":
			r = 2
		case "old", "maiden", "temp", "anonymous":
			continue
		}
		if text := spelled(name); r < rank && text != "" && q.within(name.Get("period")) {
			best, rank = text, r
		}
	}
	if best == "" {
		return "Name not recorded"
	}
	return best
}

// spelled writes a HumanName (R4 datatypes): its text, or else its parts.
func spelled(name fhir.Node) string {
	text := name.Get("text").Text()
	if text == "" {
		var parts []string
		for given := range name.At("given") {
			parts = append(parts, given.Text())
		}
		parts = append(parts, name.Get("family").Text())
		for suffix := range name.At("suffix") {
			parts = append(parts, suffix.Text())
		}
		text = strings.Join(parts, " ")
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1 // no control and no direction marks on the page
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 100 {
		text = string(runes[:100])
	}
	return text
}
