package gateway

import (
	"errors"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/inbound"
	"github.com/portico-fhir/portico/fhir/patch"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

// maxOperations bounds a patch: each operation reads the document anew.
const maxOperations = 100

// after is step 5 for a change: what is to be stored, exactly as the EHR will get
// it, is made from what the app sent and then judged.
func (g *Gateway) after(x *exchange, c *write) error {
	if x.ask.Interaction == guard.Delete {
		return nil
	}
	body, err := c.patched(x.ask.Interaction)
	if err != nil {
		return err
	}
	reader := inbound.Reader{Public: x.src.public, Upstream: x.src.Base}
	var before *fhir.Resource
	if c.before != nil {
		before = c.before.resource
		if view, err := fhir.ParseNode(c.view); err == nil {
			reader.Known = inbound.KnownOf(view, before.Root())
			g.knowOlderLinks(x, body, reader.Known)
		}
	}
	document, err := reader.Read(body)
	switch {
	case err != nil:
		return inboundFault(err)
	case document.Type() != x.ask.Type:
		return fault.New(fault.Invalid, "The resource is not of the type that the URL names.")
	case before != nil && document.ID() != x.ask.ID:
		return fault.New(fault.Invalid, "The resource does not have the id that the URL names.")
	}
	if c.after, err = document.Stored(before, x.writer()); err != nil {
		return inboundFault(err)
	}
	if err := x.who.Accepts(c.after, x.ask.Interaction); err != nil {
		return err
	}
	return g.mayPoint(x, document.References)
}

// patched gives the resource as the app wants it: what it sent, or what it sees
// now with its patch.
func (c *write) patched(i guard.Interaction) ([]byte, error) {
	if i != guard.Patch {
		return c.body, nil
	}
	body, err := patch.Apply(c.view, c.body, patch.Limits{Operations: maxOperations, Bytes: max(MaxWrite, len(c.view))})
	var failed *patch.Error
	switch {
	case errors.As(err, &failed) && failed.Malformed:
		return nil, fault.New(fault.Invalid, "It is not a JSON Patch that can be applied: %s.", failed.Error())
	case errors.As(err, &failed):
		return nil, fault.New(fault.Unprocessable, "The patch does not fit the resource: %s.", failed.Error())
	}
	return body, err
}

func inboundFault(err error) error {
	var refused *inbound.Error
	switch {
	case errors.As(err, &refused) && refused.Malformed:
		return fault.New(fault.Invalid, "%s", refused.Reason)
	case errors.As(err, &refused):
		return fault.New(fault.Unprocessable, "%s", refused.Reason)
	}
	return fault.Wrap(err, fault.Invalid, "The resource cannot be read.")
}

// mayPoint asks the guard about everything that the resource newly points to, and
// brings the proof where it wants one. What is missing and what is somebody
// else's is refused in the same words.
func (g *Gateway) mayPoint(x *exchange, references []fhir.Reference) error {
	person := x.writer().Person
	for _, to := range references {
		allowed := to.Is(person.Type, person.ID) && person.Type != "Patient"
		switch x.who.MayPoint(to) {
		case guard.Always:
			allowed = true
		case guard.IfReadable:
			if !allowed {
				var err error
				if allowed, err = g.proveSame(x, to); err != nil {
					return err
				}
			}
		case guard.Never:
		}
		if !allowed {
			return fault.New(fault.Unprocessable, "The resource points to something that this app may not read in this record, or that is not there.")
		}
	}
	return nil
}

// knowOlderLinks adds the links to the files of the resource as the app may have
// seen them some time ago: they open to the same file.
func (g *Gateway) knowOlderLinks(x *exchange, body []byte, known map[inbound.Place]string) {
	root, err := fhir.ParseNode(body)
	if err != nil || known == nil {
		return // refused where it is read
	}
	root.Descend(func(n fhir.Node) {
		handle, ours := strings.CutPrefix(n.Text(), x.src.publicBase+"/Binary/"+fileMark)
		if !ours || !n.Named("url") {
			return
		}
		at, opens := g.openHandle(x, handle)
		for place, record := range known {
			if opens && place.Name == "url" && x.src.where.Locate(record) == at {
				known[inbound.Place{Name: "url", Text: n.Text()}] = record
				return
			}
		}
	})
}
