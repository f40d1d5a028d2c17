package gateway

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

// Attachments leave with the URL of a sealed handle in place of the EHR's. The
// handle says which file and until when, and opens for nobody but the patient
// whose record it stood in. What it does not say is by which right: that is
// proven when it is used (file.go), so that it gives no more than the token
// does then.

// FileSealer makes the handles of files: the same for the same file, since apps
// compare the URLs of attachments.
type FileSealer interface {
	SealSteady(plain []byte, bound string) string
	OpenText(handle, bound string) ([]byte, error)
}

// fileWindow is how long the handle of a file stays the same. It is good until
// the end of the next window: a day at least, two at most.
const fileWindow = 24 * time.Hour

// fileMark begins a handle in a path, Binary/_{handle}: no FHIR id has an
// underscore, and no operation on a type begins like a handle.
const fileMark = "_"

// attachmentElements are the elements of R4 (4.0.1) whose type is Attachment,
// by their name. Others are known by holding nothing but what an Attachment has.
var attachmentElements = map[string]bool{
	"attachment":               true, // DocumentReference.content, ConsentSource
	"content":                  true, // Media, Library
	"contentAttachment":        true, // Communication.payload, Contract
	"document":                 true, // relatedArtifact
	"form":                     true, // ClaimResponse, ExplanationOfBenefit
	"image":                    true, // BodyStructure
	"legallyBindingAttachment": true, // Contract
	"photo":                    true, // Patient, Person, Practitioner, RelatedPerson, HealthcareService
	"presentedForm":            true, // DiagnosticReport
	"sourceAttachment":         true, // Consent
	"valueAttachment":          true, // extensions, answers, supporting information
}

var attachmentMembers = map[string]bool{
	"id": true, "extension": true, "contentType": true, "language": true, "data": true, "url": true, "size": true, "hash": true, "title": true, "creation": true,
}

// isAttachment says whether an object that has a url is an Attachment; holder is
// what it stands under by name.
func isAttachment(n, holder fhir.Node) bool {
	if !holder.Exists() || holder.Named("extension") || holder.Named("modifierExtension") {
		return false
	}
	if attachmentElements[holder.Name()] {
		return true
	}
	for c := range n.Children() {
		if !attachmentMembers[strings.TrimPrefix(c.Name(), "_")] {
			return false
		}
	}
	return true
}

// fileLink seals a target for the patient of the request.
func (g *Gateway) fileLink(x *exchange, at target) string {
	end := g.now().Truncate(fileWindow).Add(2 * fileWindow)
	plain := binary.BigEndian.AppendUint64(nil, uint64(max(end.Unix(), 0)))
	switch {
	case at.relative != "":
		plain = append(append(plain, 'b'), at.relative...)
	default:
		plain = append(append(plain, 'u'), at.url...)
	}
	return x.src.publicBase + "/Binary/" + fileMark + g.files.SealSteady(plain, x.fileBound())
}

// fileBound ties a handle to source and patient. Whoever acts for the patient
// may use it, through any app, as far as their token goes.
func (x *exchange) fileBound() string { return "file\x00" + x.src.ID + "\x00" + x.grant.Patient }

// openHandle gives the target of a handle; ok is false for one of somebody else,
// an old or a changed one, and one whose place is not served any more.
func (g *Gateway) openHandle(x *exchange, handle string) (at target, ok bool) {
	plain, err := g.files.OpenText(handle, x.fileBound())
	if err != nil || len(plain) < 9 || uint64(max(g.now().Unix(), 0)) >= binary.BigEndian.Uint64(plain) {
		return target{}, false
	}
	text := string(plain[9:])
	if plain[8] == 'b' {
		text = x.src.Base.String() + "/" + text
	}
	at = x.src.where.locate(text)
	return at, at.place == stored
}

// attachments visits the URLs of a resource's attachments.
func attachments(r *fhir.Resource, visit func(n, attachment fhir.Node)) {
	places(r.Root(), r.Type(), fhir.Node{}, func(n, attachment fhir.Node) {
		if attachment.Exists() {
			visit(n, attachment)
		}
	})
}
