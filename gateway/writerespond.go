package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/guard"
)

// respondChange is step 9 for a change: where it is, which version it has, and
// what the app prefers to see (R4 http, section 3.1.0.1.7).
func (g *Gateway) respondChange(w http.ResponseWriter, x *exchange, c *write, shown *piece) error {
	header := w.Header()
	version := versionOf(c.done.ETag)
	if x.ask.Interaction == guard.Create {
		header.Set("Location", x.src.locate(x.ask.Type, c.done.ID, version))
	}
	if version != "" {
		header.Set("ETag", `W/"`+version+`"`)
	}
	modified := c.done.LastModified
	if shown != nil && modified.IsZero() {
		modified, _ = time.Parse(time.RFC3339Nano, shown.updated) // zero when there is none
	}
	if !modified.IsZero() {
		header.Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
	}
	var body []byte
	switch {
	case shown != nil:
		body = shown.bytes
	case c.prefer == "OperationOutcome":
		var err error
		if body, err = outcome(r4.IssueSeverityInformation, r4.IssueTypeInformational, "The change was made."); err != nil {
			return err
		}
	}
	return writeChange(w, x.statusOfChange(c), body)
}

func writeChange(w http.ResponseWriter, status int, body []byte) error {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if body == nil {
		w.WriteHeader(status)
		return nil
	}
	header.Set("Content-Type", fhir.JSON)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return gone(err)
}

// giveFound answers a conditional create by what is there already. What the app
// sent is not looked at.
func (g *Gateway) giveFound(w http.ResponseWriter, x *exchange, c *write) error {
	r := c.found.resource
	x.event.ResourceID, x.event.Status = r.ID(), http.StatusOK
	var body []byte
	if c.prefer == "representation" {
		for p, err := range g.rewrite(x, only(*c.found)) {
			if err != nil {
				return g.refuse(x, err)
			}
			body = p.bytes
		}
	}
	if err := g.record(x, audit.Released); err != nil {
		return err
	}
	header := w.Header()
	version := r.VersionID()
	header.Set("Location", x.src.locate(r.Type(), r.ID(), version))
	if fhir.ValidID(version) {
		header.Set("ETag", `W/"`+version+`"`)
	}
	return writeChange(w, http.StatusOK, body)
}

// locate gives the address of a version of a resource, or of the resource when
// the version is not known.
func (s *source) locate(typ, id, version string) string {
	at := s.publicBase + "/" + typ + "/" + id
	if fhir.ValidID(version) {
		at += "/_history/" + version
	}
	return at
}

// versionOf reads a version from an ETag of the upstream's, "" when it is none
// that FHIR has.
func versionOf(etag string) string {
	version := strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if !fhir.ValidID(version) {
		return ""
	}
	return version
}
