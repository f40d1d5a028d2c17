package launch

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	idForm   = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`) // R4 datatypes, id
	typeForm = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)
)

const (
	maxText    = 255
	maxContext = 50 // entries of fhirContext
)

// Check says what of c no app can be told.
func (c Context) Check() error {
	switch {
	case !idForm.MatchString(c.Patient):
		return errors.New("patient must be the id of a Patient: an app without one could read nothing")
	case c.Encounter != "" && !idForm.MatchString(c.Encounter):
		return errors.New("encounter must be the id of an Encounter")
	case !short(c.Intent):
		return errors.New("intent must be a short text")
	case !short(c.Tenant):
		return errors.New("tenant must be a short text")
	case c.User != "" && !isPerson(c.User):
		return errors.New("user must be Practitioner/…, Patient/… or RelatedPerson/…")
	case len(c.FHIRContext) > maxContext:
		return fmt.Errorf("fhirContext has more than %d entries", maxContext)
	}
	if err := checkStyle(c.StyleURL); err != nil {
		return err
	}
	for i, entry := range c.FHIRContext {
		if err := checkEntry(entry); err != nil {
			return fmt.Errorf("fhirContext[%d] %w", i, err)
		}
	}
	return nil
}

func short(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func isPerson(reference string) bool {
	typ, id, _ := strings.Cut(reference, "/")
	return (typ == "Practitioner" || typ == "Patient" || typ == "RelatedPerson") && idForm.MatchString(id)
}

// checkStyle takes what an app can fetch: https, or http on this machine.
func checkStyle(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || !short(text) {
		return errors.New("smart_style_url must be an absolute URL")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("smart_style_url must be https")
	}
	return nil
}

// entry is one object of fhirContext (SMART App Launch 2.2, "fhirContext").
type entry struct {
	Reference  *string        `json:"reference"`
	Canonical  *string        `json:"canonical"`
	Identifier jsontext.Value `json:"identifier"`
	Type       *string        `json:"type"`
	Role       *string        `json:"role"`
}

// checkEntry holds an entry to the specification: an object with at least one
// of reference, canonical and identifier, and never a Patient or an Encounter,
// for which there are members of their own (requirements 172, 177, 178).
func checkEntry(raw []byte) error {
	var e entry
	if !strings.HasPrefix(strings.TrimSpace(string(raw)), "{") {
		return errors.New("must be an object")
	}
	// A reader that compares names exactly and refuses two of one name: the app
	// gets these bytes, and must not read something else in them.
	if err := json.Unmarshal(raw, &e, json.RejectUnknownMembers(true)); err != nil {
		return errors.New("has a member that fhirContext does not have, or one of another type")
	}
	if e.Reference == nil && e.Canonical == nil && e.Identifier == nil {
		return errors.New("needs reference, canonical or identifier")
	}
	if e.Identifier != nil && !strings.HasPrefix(strings.TrimSpace(string(e.Identifier)), "{") {
		return errors.New("has an identifier that is no object")
	}
	for _, text := range []*string{e.Reference, e.Canonical, e.Type, e.Role} {
		if text != nil && (*text == "" || !short(*text)) {
			return errors.New("has a text that is empty or too long")
		}
	}
	if e.Role != nil && !isRole(*e.Role) {
		return errors.New("has a role that is neither launch nor an absolute URI")
	}
	if e.Type != nil && own(*e.Type) {
		return errors.New("must not be a Patient or an Encounter: these are members of the launch itself")
	}
	if e.Reference == nil {
		return nil
	}
	typ, id, _ := strings.Cut(*e.Reference, "/")
	switch {
	case !typeForm.MatchString(typ) || !idForm.MatchString(id):
		return errors.New("has a reference that is not Type/id")
	case own(typ):
		return errors.New("must not be a Patient or an Encounter: these are members of the launch itself")
	case e.Type != nil && *e.Type != typ:
		return errors.New("has a type that is not that of its reference")
	}
	return nil
}

// isRole takes what can name a role: launch is the one that the specification
// defines, all others are absolute URIs (requirement 188).
func isRole(role string) bool {
	if role == "launch" {
		return true
	}
	u, err := url.Parse(role)
	return err == nil && u.IsAbs() && (u.Host != "" || u.Opaque != "")
}

func own(typ string) bool {
	return typ == "Patient" || typ == "Encounter"
}
