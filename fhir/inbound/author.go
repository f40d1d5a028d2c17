package inbound

import (
	"bytes"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/patch"
)

// Author is an element that says who wrote or said something. In a resource that
// an app writes it names the person who uses the app, the patient, or nobody.
type Author struct {
	Path string // dotted, through arrays
	// By are the types of people it may name when it is set by us; without any
	// it is never set.
	By   []string
	List bool // it is an array
}

// Seats are participants who answer for themselves: an app may not say what
// another one said.
type Seats struct {
	Path, Who, Says string
	Open            string // what anybody may say of another one
}

// rule is what a type that apps may write says about who wrote it.
type rule struct {
	typ     string
	authors []Author
	seats   *Seats
}

// Writer is who writes: the patient whose record it is, and the person who uses
// the app, who may be the same.
type Writer struct {
	Base    fhir.Base
	Patient string         // Patient id
	Person  fhir.Reference // zero: nobody knows
}

// Writable says whether a patient app may write a type at all, whatever a policy
// says, and why not.
func Writable(typ string) (reason string, ok bool) {
	if _, there := ruleOf(typ); there {
		return "", true
	}
	switch class := compartment.Of(typ).Class; {
	case class == compartment.Self:
		return "who a patient is, is the health system's to say: an app could make one person look like another", false
	case class == compartment.Directory:
		return "it describes the health system and belongs to no patient", false
	case class == compartment.Closed:
		return "it is not open to patient apps", false
	case class == compartment.Through, class == compartment.Reached:
		return "it says nothing by itself of whose it is", false
	case slices.Contains([]string{"Person", "RelatedPerson", "Consent", "Contract", "Group", "CareTeam"}, typ):
		return "it says who may act for or see a patient, which an app must not", false
	}
	return "it is what staff and systems write, and has no element by which a patient's could be told from theirs", false
}

func ruleOf(typ string) (rule, bool) {
	i, found := slices.BinarySearchFunc(rules, typ, func(r rule, t string) int { return strings.Compare(r.typ, t) })
	if !found {
		return rule{}, false
	}
	return rules[i], true
}

// sign sets the elements that say who wrote it where the app left them out.
func (wr Writer) sign(typ string, raw []byte) ([]byte, error) {
	r, _ := ruleOf(typ)
	for _, a := range r.authors {
		root, err := fhir.ParseNode(raw)
		if err != nil {
			return nil, refuse("The resource cannot be stored in this form.")
		}
		if root.Get(a.Path).Exists() || !slices.Contains(a.By, wr.Person.Type) || wr.Person.Type == "Patient" && wr.Person.ID != wr.Patient {
			continue
		}
		value := bytes.Join([][]byte{[]byte(`{"reference":`), quote(relative(wr.Person)), []byte(`}`)}, nil)
		if a.List {
			value = append(append([]byte{'['}, value...), ']')
		}
		if raw, err = patch.Set(raw, a.Path, value); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// Check says whether a resource names nobody else as its author. before is what
// is there now, nil for a new resource.
func (wr Writer) Check(r, before *fhir.Resource) error {
	rule, there := ruleOf(r.Type())
	if !there {
		return refuse("This type is not written by patient apps.")
	}
	for _, a := range rule.authors {
		for ref := range r.Root().At(strings.Split(a.Path, ".")...) {
			if !wr.is(ref) {
				return refuse("The element " + r.Type() + "." + a.Path + " may name nobody but the patient or the person who uses the app.")
			}
		}
	}
	if s := rule.seats; s != nil {
		return wr.seated(*s, r, before)
	}
	return nil
}

func (wr Writer) seated(s Seats, r, before *fhir.Resource) error {
	for seat := range r.Root().At(s.Path) {
		if wr.is(seat.Get(s.Who)) || seat.Get(s.Says).Text() == s.Open || before != nil && holds(before, s.Path, seat) {
			continue
		}
		return refuse("What others say in " + r.Type() + "." + s.Path + " is theirs: it must be " + s.Open + ", or as it was.")
	}
	return nil
}

func holds(r *fhir.Resource, path string, seat fhir.Node) bool {
	for there := range r.Root().At(path) {
		if bytes.Equal(there.Raw(), seat.Raw()) {
			return true
		}
	}
	return false
}

// is says whether a reference names the patient or the person who writes.
func (wr Writer) is(ref fhir.Node) bool {
	to := wr.Base.Resolve(ref.Get("reference").Text())
	return to.Is("Patient", wr.Patient) || wr.Person.Type != "Patient" && to.Is(wr.Person.Type, wr.Person.ID)
}
