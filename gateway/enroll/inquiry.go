package enroll

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	// maxValues bounds how often one sign-in asks the EHR.
	maxValues = 20

	helpdesk = " Please ask the health system's registration desk to check it."
	unlinked = "Your sign-in is good, but it is not connected to a health record here." + helpdesk
	unsure   = "Your sign-in could not be connected to one health record beyond doubt." + helpdesk
)

// inquiry is one sign-in at one source.
type inquiry struct {
	source string
	rule   rule
	lookup Lookup
	now    time.Time
	seen   map[string]answer // by reference: a patient named twice is read once
}

type answer struct {
	resource *fhir.Resource
	err      error
}

func (q *inquiry) links(ctx context.Context, claims map[string]any) ([]Link, error) {
	values, err := texts(claims[q.rule.Claim])
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, noLink(unlinked, "the claim is missing or empty")
	}
	switch q.rule.Rule {
	case FHIRUser:
		return q.byReference(ctx, values)
	case PatientID:
		return q.byID(ctx, values, claims)
	default:
		return q.byIdentifier(ctx, values)
	}
}

// texts reads a claim that is a string or an array of strings; duplicates are
// said once. Anything else is not understood and means nothing.
func texts(claim any) ([]string, error) {
	var list []any
	switch c := claim.(type) {
	case nil:
		return nil, nil
	case string:
		list = []any{c}
	case []any:
		list = c
	default:
		return nil, noLink(unlinked, "the claim is neither a string nor an array of strings")
	}
	if len(list) > maxValues {
		return nil, noLink(unsure, "the claim has too many values")
	}
	var out []string
	seen := make(map[string]bool)
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, noLink(unlinked, "the claim is neither a string nor an array of strings")
		}
		if s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out, nil
}

// byReference is the rule FHIRUser. A reference that does not hold is passed
// over; what an outage leaves open is an error.
func (q *inquiry) byReference(ctx context.Context, references []string) ([]Link, error) {
	var self string
	var related []string
	for _, text := range references {
		switch ref := q.rule.base.Resolve(text); {
		case ref.Where != fhir.Local || ref.Version != "":
		case ref.Type == "Patient" && self != "" && self != ref.ID:
			return nil, noLink(unsure, "the claim names the person as more than one Patient")
		case ref.Type == "Patient":
			self = ref.ID
		case ref.Type == "RelatedPerson":
			related = append(related, ref.ID)
		}
	}
	if self == "" && len(related) == 0 {
		return nil, noLink(unlinked, "the claim names neither a Patient nor a RelatedPerson of this source")
	}
	var found []Link
	reason := errors.New("enroll: nobody") // replaced by the last one that counts
	add := func(l Link, err error) error {
		switch {
		case err == nil:
			found = append(found, l)
		case fault.KindOf(err) == fault.NotFound:
			reason = err
		default:
			return err
		}
		return nil
	}
	if self != "" {
		if err := add(q.self(ctx, self)); err != nil {
			return nil, err
		}
	}
	for _, id := range related {
		if err := add(q.proxy(ctx, id)); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, reason
	}
	return oneEach(found), nil
}

// oneEach keeps one link for each patient: the first, which is self when there
// is one, and of two proxies the one that lasts longer.
func oneEach(links []Link) []Link {
	var out []Link
	at := make(map[string]int)
	for _, l := range links {
		i, there := at[l.Patient]
		if !there {
			at[l.Patient] = len(out)
			out = append(out, l)
			continue
		}
		if out[i].Relationship == Proxy && !out[i].Until.IsZero() && (l.Until.IsZero() || l.Until.After(out[i].Until)) {
			out[i] = l
		}
	}
	return out
}

// byID is the rule PatientID.
func (q *inquiry) byID(ctx context.Context, values []string, claims map[string]any) ([]Link, error) {
	ids := make(map[string]bool)
	var only string
	for _, v := range values {
		id := v
		if ref := q.rule.base.Resolve(v); ref.Where == fhir.Local && ref.Type == "Patient" && ref.Version == "" {
			id = ref.ID
		}
		if !fhir.ValidID(id) {
			return nil, noLink(unsure, "the claim holds something that is no Patient id")
		}
		ids[id], only = true, id
	}
	if _, there := claims[fhirUserClaim]; there {
		return q.narrowed(ctx, ids, claims)
	}
	if len(ids) > 1 {
		return nil, noLink(unsure, "the claim has several ids and nothing says which of them is the person")
	}
	l, err := q.self(ctx, only)
	if err != nil {
		return nil, err
	}
	return []Link{l}, nil
}

// narrowed gives the links of fhirUser whose patient the ids name as well.
func (q *inquiry) narrowed(ctx context.Context, ids map[string]bool, claims map[string]any) ([]Link, error) {
	references, err := texts(claims[fhirUserClaim])
	if err != nil {
		return nil, err
	}
	if len(references) == 0 {
		return nil, noLink(unlinked, "the claim fhirUser is empty")
	}
	links, err := q.byReference(ctx, references)
	if err != nil {
		return nil, err
	}
	var agreed []Link
	for _, l := range links {
		if ids[l.Patient] {
			agreed = append(agreed, l)
		}
	}
	if len(agreed) == 0 {
		return nil, noLink(unsure, "the claims name different patients")
	}
	return agreed, nil
}

// byIdentifier is the rule Identifier.
func (q *inquiry) byIdentifier(ctx context.Context, values []string) ([]Link, error) {
	if len(values) != 1 {
		return nil, noLink(unsure, "the identifier claim has more than one value")
	}
	value := values[0]
	// Characters with a meaning in token search could be escaped (R4 search,
	// 3.1.1.3.6), but servers differ in that; no real identifier needs them.
	if len(value) > 200 || strings.ContainsAny(value, `|,\$`) || strings.ContainsFunc(value, notPlain) {
		return nil, noLink(unsure, "the identifier claim is malformed")
	}
	query := url.Values{"identifier": {q.rule.System + "|" + value}}
	bodies, err := q.lookup.Search(ctx, q.source, "Patient", query.Encode())
	if err != nil {
		return nil, outage(err)
	}
	var hits []*fhir.Resource
	for _, raw := range bodies {
		resource, err := fhir.ParseResource(raw)
		if err != nil {
			return nil, noLink(unsure, "the search gave a resource that cannot be read")
		}
		if resource.Type() != "OperationOutcome" { // which may stand in any searchset
			hits = append(hits, resource)
		}
	}
	switch {
	case len(hits) == 0:
		return nil, noLink(unlinked, "no patient has the identifier")
	case len(hits) > 1:
		return nil, noLink(unsure, "more than one patient has the identifier")
	case hits[0].Type() != "Patient" || hits[0].ID() == "":
		return nil, noLink(unsure, "the search gave something else than a Patient")
	case !q.bears(hits[0], value):
		return nil, noLink(unsure, "the patient that was found does not have the identifier")
	}
	l, err := q.patient(hits[0])
	if err != nil {
		return nil, err
	}
	return []Link{l}, nil
}

func notPlain(r rune) bool { return r == unicode.ReplacementChar || r == ' ' || !unicode.IsPrint(r) }

// bears looks whether the patient really has the identifier: an EHR that does
// not know the parameter may answer with anybody.
func (q *inquiry) bears(patient *fhir.Resource, value string) bool {
	for identifier := range patient.Root().At("identifier") {
		system, got := identifier.Get("system"), identifier.Get("value")
		if system.IsString() && got.IsString() && system.Text() == q.rule.System && got.Text() == value &&
			identifier.Get("use").Text() != "old" && q.within(identifier.Get("period")) {
			return true
		}
	}
	return false
}

// outage classifies an error of the lookup that says nothing about a record.
func outage(err error) error {
	const public = "The health record does not answer right now. Please try again in a few minutes."
	switch kind := fault.KindOf(err); kind {
	case fault.UpstreamTimeout, fault.Unavailable, fault.TooMany:
		return fault.Wrap(err, kind, public)
	}
	return fault.Wrap(err, fault.Upstream, public)
}
