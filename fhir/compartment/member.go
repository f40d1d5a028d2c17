package compartment

import (
	"bytes"
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
	typ := fhir.StatedType(ref)
	return typ == "" || typ == "Patient"
}

// Strangers gives the references inside a resource that name, or in a Shared
// type may name, a patient who is not the own: the places to be masked. ok is
// false when the resource cannot be masked safely and must not leave.
func (w Whose) Strangers(r *fhir.Resource) (places []fhir.Node, ok bool) {
	rule := Of(r.Type())
	ok = true
	r.Root().Descend(func(n fhir.Node) {
		if n != r.Root() && n.Get("resourceType").Exists() && !w.mayHold(rule.Class, n) {
			ok = false
		}
		for inner := range n.Items() {
			ok = ok && (!n.Named("contained") || inner.Get("resourceType").IsString()) // else nobody can tell what it is
		}
	})
	shared := rule.Class == Shared
	seats := w.seats(rule, r.Root())
	stranger := func(n fhir.Node) bool { return seats[n] || w.isStranger(n, shared) || w.leadsToStranger(n) }
	places = r.Outermost(stranger)
	if shared && len(places) > 0 {
		places = r.Outermost(func(n fhir.Node) bool { return stranger(n) || w.isBystander(n) || n == r.Root().Get("text") })
	}
	return places, ok && !slices.Contains(places, r.Root()) // else the resource itself looks like a Reference
}

// isBystander recognises what tells of other patients indirectly once some of
// them are masked: a Reference to what is somebody's and cannot be told from the
// own here, such as a relative or the reason for a visit. So does the narrative.
func (w Whose) isBystander(n fhir.Node) bool {
	literal, typ := n.Get("reference"), fhir.StatedType(n)
	switch to := w.Base.Resolve(literal.Text()); {
	case to.Where == fhir.Contained:
		return false
	case to.Where == fhir.Local:
		typ = to.Type
	case !literal.IsString() && (!fhir.IsReference(n) || !n.Get("identifier").Exists() && !n.Get("display").Exists()):
		return false
	}
	return (typ == "" || Of(typ).Class != Directory) && !w.isMine(n)
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
// its owner, or is a person's own who may be another, may not; in what several
// see, or everybody, it must be the patient's. What is no type of R4 never may.
func (w Whose) mayHold(outer Class, inner fhir.Node) bool {
	alone := outer != Shared && outer != Directory
	rule := Of(inner.Get("resourceType").Text())
	switch rule.Class {
	case Self:
		return alone && inner.Get("id").Text() == w.Patient
	case Own, Shared, Reached:
	case Through: // says nothing of whose it is
		return alone
	case Closed, Directory:
		return rule.Type != ""
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
// with type. Outside Shared types only what certainly names another patient
// counts; inside, whatever is not certainly harmless.
func (w Whose) isStranger(n fhir.Node, shared bool) bool {
	if !n.IsObject() {
		return false
	}
	literal, patient := n.Get("reference"), fhir.StatedType(n) == "Patient"
	if !literal.IsString() {
		return patient && (fhir.IsReference(n) || n.Get("identifier").IsObject() || n.Get("display").IsString()) ||
			fhir.StatedType(n) == "" && shared && fhir.IsReference(n) && n.Get("identifier").IsObject()
	}
	to := w.Base.Resolve(literal.Text())
	switch to.Where {
	case fhir.Local:
		return (patient || to.Type == "Patient") && !w.isMine(n)
	case fhir.Contained:
		return patient
	case fhir.Foreign:
		return shared || patient || slices.ContainsFunc(fhir.URIWords(literal.Text()), isPatient)
	case fhir.Unusable:
	}
	return shared || patient || strings.Contains(strings.ToLower(strings.Join(fhir.URIWords(literal.Text()), " ")), "patient")
}

// leadsToStranger recognises a URI, wherever one stands, that leads to another
// patient at this upstream, or to a search for patients.
func (w Whose) leadsToStranger(n fhir.Node) bool {
	if !n.IsString() || bytes.ContainsAny(n.Raw(), " <") || !bytes.ContainsAny(n.Raw(), "/?\\") {
		return false
	}
	text := n.Text()
	if !strings.Contains(text, "%") && !strings.Contains(strings.ToLower(text), "patient") {
		return false
	}
	relative, absolute := w.Base.Relative(text)
	if !absolute {
		relative = text
	}
	named := n.Named("url") || n.Named("valueUri") || n.Named("valueUrl") || n.Named("valueCanonical")
	parts := fhir.URIWords(relative)
	return (absolute || named) && len(parts) > 1 && isPatient(parts[0]) && parts[1] != w.Patient
}

func isPatient(word string) bool { return strings.EqualFold(word, "Patient") }
