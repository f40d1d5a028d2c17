package compartment

import (
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// Membership is what a resource itself says about whose it is.
type Membership uint8

const (
	// Undecided: nothing in the resource says whose it is.
	Undecided Membership = iota
	// Mine: it is the patient's.
	Mine
	// Foreign: it is somebody else's, or says something that cannot be trusted.
	Foreign
	// Common: a directory entry, nobody's and everybody's.
	Common
)

// Whose is a patient as seen from one upstream.
type Whose struct {
	Base    fhir.Base // references are resolved against it
	Patient string    // Patient id; "" owns nothing
}

// Member applies the rule of the resource's own type.
func (w Whose) Member(r *fhir.Resource) Membership {
	if w.Patient == "" {
		return Foreign
	}
	rule := Of(r.Type())
	switch rule.Class {
	case Self:
		if r.ID() == w.Patient {
			return Mine
		}
		return Foreign
	case Own, Shared:
		return w.owned(rule, r.Root())
	case Directory:
		if m := w.owned(rule, r.Root()); m != Undecided {
			return m
		}
		return Common
	case Through, Reached:
		return w.owned(rule, r.Root())
	case Closed:
	}
	return Foreign
}

func (w Whose) owned(rule Rule, root fhir.Node) Membership {
	said := w.named(rule, rule.Owners, root)
	if said == Undecided {
		said = w.named(rule, rule.Participants, root)
	}
	return said
}

// named looks at all references at the paths. In a Shared type one that names
// the patient is enough; elsewhere every one must.
func (w Whose) named(rule Rule, paths []string, root fhir.Node) Membership {
	var mine, others int
	for _, path := range paths {
		for ref := range root.At(strings.Split(path, ".")...) {
			switch {
			case w.isMine(ref):
				mine++
			case rule.Class == Directory && !w.mayBePatient(ref):
				// a schedule's actor that is a room or a practitioner
			default:
				others++
			}
		}
	}
	switch {
	case mine == 0 && others == 0:
		return Undecided
	case mine > 0 && (others == 0 || rule.Class == Shared):
		return Mine
	}
	return Foreign
}

// isMine holds only for a Reference whose reference names the patient at this
// upstream. An identifier, a display or a foreign URL proves nothing; a type or
// an extension beside it changes nothing.
func (w Whose) isMine(ref fhir.Node) bool {
	literal := ref.Get("reference")
	return literal.IsString() && w.Base.Resolve(literal.Text()).Is("Patient", w.Patient)
}

// mayBePatient says whether a reference could name a patient, the own or
// another: everything that does not certainly name something else.
func (w Whose) mayBePatient(ref fhir.Node) bool {
	if literal := ref.Get("reference"); literal.IsString() {
		to := w.Base.Resolve(literal.Text())
		return to.Where != fhir.Local || to.Type == "Patient"
	}
	typ := statedType(ref)
	return typ == "" || typ == "Patient"
}

// statedType gives Reference.type: a name, or a URI that ends in one (R4
// references, section 2.3.0).
func statedType(ref fhir.Node) string {
	typ := ref.Get("type").Text()
	return typ[strings.LastIndexByte(typ, '/')+1:]
}

// Strangers gives the references inside a resource that name, or in a Shared
// type may name, a patient who is not the own: the places to be masked. ok is
// false when the resource cannot be masked safely and must not leave.
func (w Whose) Strangers(r *fhir.Resource) (places []fhir.Node, ok bool) {
	rule := Of(r.Type())
	shared := rule.Class == Shared
	seats := w.seats(rule, r.Root())
	ok = true
	inside := 0 // end of the last place, so that nothing is masked twice
	r.Root().Descend(func(n fhir.Node) {
		if n != r.Root() && n.Get("resourceType").Exists() && !w.mayHold(rule.Class, n) {
			ok = false
		}
		start, end := n.Span()
		if start < inside || !seats[n] && !w.isStranger(n, shared) {
			return
		}
		if n == r.Root() {
			ok = false // the resource itself looks like a Reference
			return
		}
		places, inside = append(places, n), end
	})
	if shared && len(places) > 0 {
		places = append(places, w.bystanders(r)...)
	}
	return places, ok
}

// bystanders are what tells of other patients indirectly once some of them are
// masked: their relatives, who cannot be told from the own ones, and the
// narrative, which may name everybody.
func (w Whose) bystanders(r *fhir.Resource) []fhir.Node {
	var out []fhir.Node
	if text := r.Root().Get("text"); text.Exists() {
		out = append(out, text)
	}
	r.Root().Descend(func(n fhir.Node) {
		if literal := n.Get("reference"); literal.IsString() && w.Base.Resolve(literal.Text()).Type == "RelatedPerson" {
			out = append(out, n)
		}
	})
	return out
}

// seats gives the references of a Shared type at which patients stand and that
// may name another one, if only by an identifier or a display. A contained
// resource they point to is looked at as such.
func (w Whose) seats(rule Rule, root fhir.Node) map[fhir.Node]bool {
	if rule.Class != Shared {
		return nil
	}
	out := map[fhir.Node]bool{}
	for _, path := range slices.Concat(rule.Owners, rule.Participants) {
		for ref := range root.At(strings.Split(path, ".")...) {
			contained := w.Base.Resolve(ref.Get("reference").Text()).Where == fhir.Contained
			if w.mayBePatient(ref) && !w.isMine(ref) && !contained {
				out[ref] = true
			}
		}
	}
	return out
}

// mayHold says whether a resource inside another one may leave with it. In what
// belongs to the patient alone only one that certainly names another patient as
// its owner may not; in what several see, or everybody, it must be the patient's.
func (w Whose) mayHold(outer Class, inner fhir.Node) bool {
	alone := outer != Shared && outer != Directory
	rule := Of(inner.Get("resourceType").Text())
	switch rule.Class {
	case Self:
		return alone
	case Own, Shared, Reached:
	case Closed, Directory, Through:
		return true
	}
	switch w.owned(rule, inner) {
	case Mine:
		return true
	case Undecided:
		return alone || rule.Class == Reached
	case Foreign, Common:
	}
	return alone && !w.namesStranger(rule, inner)
}

func (w Whose) namesStranger(rule Rule, root fhir.Node) bool {
	for _, path := range slices.Concat(rule.Owners, rule.Participants) {
		for ref := range root.At(strings.Split(path, ".")...) {
			if w.isStranger(ref, false) {
				return true
			}
		}
	}
	return false
}

// isStranger recognises a Reference by its members: reference, or identifier
// with type. Outside Shared types only what certainly names another patient of
// this upstream counts; inside, whatever is not certainly harmless.
func (w Whose) isStranger(n fhir.Node, shared bool) bool {
	if !n.IsObject() {
		return false
	}
	literal := n.Get("reference")
	if !literal.IsString() {
		typ := statedType(n)
		return typ == "Patient" && (n.Get("identifier").IsObject() || n.Get("display").IsString()) ||
			typ == "" && shared && isLogical(n)
	}
	to := w.Base.Resolve(literal.Text())
	switch to.Where {
	case fhir.Local:
		return to.Type == "Patient" && to.ID != w.Patient
	case fhir.Contained:
		return false
	case fhir.Foreign:
		return shared || slices.Contains(strings.Split(literal.Text(), "/"), "Patient")
	case fhir.Unusable:
	}
	return shared || strings.Contains(literal.Text(), "Patient")
}

// isLogical recognises a Reference that has an identifier in place of a
// reference.
func isLogical(n fhir.Node) bool {
	for member := range n.Children() {
		switch strings.TrimPrefix(member.Name(), "_") {
		case "id", "extension", "reference", "type", "identifier", "display":
		default:
			return false
		}
	}
	return n.Get("identifier").IsObject()
}
