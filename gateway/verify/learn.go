package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxPages   = 3       // of one type that are learned from
	maxPerType = 100     // resources of one type
	maxEntry   = 8 << 20 // bytes of one resource
)

// knowledge is what the EHR holds of one patient: by what an answer that speaks
// of them is recognised, and what attacks are made from.
type knowledge struct {
	patient     string
	ids         map[string][]string // resource type -> ids
	identifiers []identifier
	names       []string // family names and given names
	birthDate   string
	attachments []string          // attachment URLs
	withheld    []string          // Type/id of what a label withholds
	marks       map[string]string // distinctive text -> what it is
	sensitive   func(*fhir.Resource) bool
}

type identifier struct{ system, value string }

// learn reads a patient's resources from the EHR itself. A type that the EHR
// does not have teaches nothing; any other failure is an error, since a corpus
// that was cut short would look like one that found nothing.
func learn(ctx context.Context, ehr upstream.Reader, patient string, sensitive func(*fhir.Resource) bool) (*knowledge, error) {
	k := &knowledge{sensitive: sensitive, patient: patient, ids: map[string][]string{}, marks: map[string]string{}}
	answer, err := ehr.Read(ctx, "Patient", patient)
	if err != nil {
		return nil, fmt.Errorf("reading the Patient: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxEntry))
	_ = answer.Body.Close()
	if err != nil {
		return nil, err
	}
	self, err := fhir.ParseResource(raw)
	if err != nil {
		return nil, err
	}
	k.person(self)
	for _, typ := range compartment.Types() {
		rule := compartment.Of(typ)
		if len(rule.Narrow) == 0 || typ == "Patient" {
			continue
		}
		if err := k.search(ctx, ehr, typ, rule.Narrow[0]); err != nil {
			return nil, err
		}
	}
	return k, k.files(ctx, ehr)
}

func (k *knowledge) search(ctx context.Context, ehr upstream.Reader, typ, by string) error {
	enough := func() bool { return len(k.ids[typ]) >= maxPerType }
	return firstPages(ctx, ehr, typ, url.Values{by: {"Patient/" + k.patient}}.Encode(), enough, func(r *fhir.Resource) {
		if k.about(r) {
			k.resource(r)
		}
	})
}

// firstPages visits what a search finds, page by page until there is enough. A
// type that the EHR does not have or does not let be searched so holds nothing.
func firstPages(ctx context.Context, ehr upstream.Reader, typ, query string, enough func() bool, visit func(*fhir.Resource)) error {
	answer, err := ehr.Search(ctx, typ, query)
	for page := 1; page <= maxPages; page++ {
		switch kind := fault.KindOf(err); {
		case err != nil && (kind == fault.NotFound || kind == fault.Invalid):
			return nil
		case err != nil:
			return err
		}
		next, err := eachEntry(answer, visit)
		if err != nil {
			return err
		}
		if next == "" || enough() {
			return nil
		}
		if answer, err = ehr.Next(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

func eachEntry(answer *upstream.Answer, visit func(*fhir.Resource)) (next string, err error) {
	defer func() { _ = answer.Body.Close() }()
	reader := fhir.NewBundleReader(answer.Body, maxEntry)
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return reader.NextLink(), nil
		}
		if err != nil {
			return "", err
		}
		if e.Resource != nil {
			visit(e.Resource)
		}
	}
}

// about: an EHR that ignores the parameter must not teach us other people's
// resources as this patient's.
func (k *knowledge) about(r *fhir.Resource) bool {
	found := false
	r.Root().Descend(func(n fhir.Node) {
		if n.Name() == "reference" && (n.Text() == "Patient/"+k.patient || strings.HasSuffix(n.Text(), "/Patient/"+k.patient)) {
			found = true
		}
	})
	return found
}

func (k *knowledge) resource(r *fhir.Resource) {
	k.ids[r.Type()] = append(k.ids[r.Type()], r.ID())
	k.mark(r.ID(), "the id of a "+r.Type())
	for id := range r.Root().At("identifier") {
		k.identify(id, r.Type())
	}
	for _, path := range [][]string{{"content", "attachment"}, {"presentedForm"}, {"payload", "contentAttachment"}} {
		for a := range r.Root().At(path...) {
			if u := a.Get("url").Text(); u != "" && !slices.Contains(k.attachments, u) {
				k.attachments = append(k.attachments, u)
				k.mark(u, "the address of an attachment")
			}
		}
	}
	if k.sensitive != nil && k.sensitive(r) {
		k.withheld = append(k.withheld, r.Type()+"/"+r.ID())
	}
}

func (k *knowledge) person(r *fhir.Resource) {
	k.ids["Patient"] = []string{k.patient}
	k.mark(k.patient, "the Patient id")
	k.birthDate = r.Root().Get("birthDate").Text()
	for id := range r.Root().At("identifier") {
		k.identify(id, "Patient")
	}
	for name := range r.Root().At("name") {
		for _, part := range []string{"family", "given"} {
			for n := range name.At(part) {
				k.names = append(k.names, n.Text())
			}
		}
		k.mark(name.Get("family").Text(), "a family name")
	}
	for t := range r.Root().At("telecom") {
		k.mark(t.Get("value").Text(), "a telephone number or mail address")
	}
	for line := range r.Root().At("address", "line") {
		k.mark(line.Text(), "an address")
	}
}

func (k *knowledge) identify(id fhir.Node, typ string) {
	value := id.Get("value").Text()
	if value == "" {
		return
	}
	k.identifiers = append(k.identifiers, identifier{id.Get("system").Text(), value})
	k.mark(value, "an identifier of a "+typ)
}

// shortest is the length below which a text could stand anywhere by chance.
const shortest = 4

func (k *knowledge) mark(text, what string) {
	if len(text) >= shortest {
		k.marks[text] = what
	}
}

// without takes away what the other patient shares: the id of a group visit, a
// family name, an address.
func (k *knowledge) without(other *knowledge) {
	for text := range other.marks {
		delete(k.marks, text)
	}
	for typ, ids := range k.ids {
		k.ids[typ] = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(other.ids[typ], id) })
	}
}

// withoutDirectory takes away what stands in the EHR's directory as well, which
// everybody may read: the clinic's telephone number, given as the patient's own.
// Only whole texts are compared, so that nothing is taken away by chance.
func (k *knowledge) withoutDirectory(ctx context.Context, ehr upstream.Reader) error {
	for _, typ := range compartment.Types() {
		if compartment.Of(typ).Class != compartment.Directory {
			continue
		}
		if err := firstPages(ctx, ehr, typ, "", func() bool { return false }, k.public); err != nil {
			return err
		}
	}
	return nil
}

// public forgets the marks that stand in a resource which everybody may read.
func (k *knowledge) public(r *fhir.Resource) {
	r.Root().Descend(func(n fhir.Node) {
		if n.IsString() {
			delete(k.marks, n.Text())
		}
	})
}

func (k *knowledge) size() int { return len(k.marks) }

// in names the first thing of this patient's that stands in a text and not in
// what was asked. A mark counts only as a whole word.
func (k *knowledge) in(text, asked string) string {
	for _, mark := range slices.Sorted(maps.Keys(k.marks)) {
		if strings.Contains(asked, mark) || strings.Contains(asked, url.QueryEscape(mark)) {
			continue
		}
		if wholeWord(text, mark) {
			return k.marks[mark]
		}
	}
	return ""
}

func wholeWord(text, word string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		start, end := at+i, at+i+len(word)
		if (start == 0 || !wordByte(text[start-1])) && (end == len(text) || !wordByte(text[end])) {
			return true
		}
		at = end
	}
}

func wordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-'
}

// some gives a few ids of a type, the type's own first.
func (k *knowledge) some(typ string, n int) []string {
	return k.ids[typ][:min(n, len(k.ids[typ]))]
}

// types gives the types of which something is known, in order.
func (k *knowledge) types() []string { return slices.Sorted(maps.Keys(k.ids)) }
