package locate

import (
	"bytes"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// URLs visits where FHIR holds a URL that is followed: Reference.reference,
// Attachment.url, the URLs in extensions and answers, meta.source and
// Endpoint.address. attachment is the Attachment around a url, if it is in one.
func URLs(r *fhir.Resource, visit func(url, attachment fhir.Node)) {
	walk(r.Root(), r.Type(), fhir.Node{}, visit)
}

// Attachments visits the URLs of a resource's attachments.
func Attachments(r *fhir.Resource, visit func(url, attachment fhir.Node)) {
	URLs(r, func(url, attachment fhir.Node) {
		if attachment.Exists() {
			visit(url, attachment)
		}
	})
}

// walk: holder is what the object stands under by name, through arrays;
// extension.url is a name and no place.
func walk(n fhir.Node, typ string, holder fhir.Node, visit func(url, attachment fhir.Node)) {
	for c := range n.Children() {
		switch {
		case !c.IsString() && c.IsItem():
			walk(c, typ, holder, visit)
		case !c.IsString():
			walk(c, typ, c, visit)
		case c.Named("url") && isAttachment(n, holder): // relative or absolute
			visit(c, n)
		case bytes.ContainsAny(c.Raw(), `:\\`) && isPlace(c, typ, holder): // an absolute URL has a colon
			visit(c, fhir.Node{})
		}
	}
}

func isPlace(c fhir.Node, typ string, holder fhir.Node) bool {
	switch c.Name() {
	case "reference", "valueUrl", "valueUri", "valueCanonical":
		return true
	case "url":
		return !holder.Named("extension") && !holder.Named("modifierExtension")
	case "source":
		return holder.Named("meta")
	case "address":
		return !holder.Exists() && typ == "Endpoint"
	}
	return false
}

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
