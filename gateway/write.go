package gateway

import (
	"net/http"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// write is one change as it is understood so far.
type write struct {
	several     bool   // addressed to whatever a search finds, not to one resource
	ifMatch     string // the version that the app has seen
	ifNoneExist string
	prefer      string // what the app wants back: "", minimal, representation, OperationOutcome

	body   []byte
	before *kept          // what is there now; nil for a create
	view   []byte         // the same as the app sees it
	found  *kept          // what a conditional create found instead
	after  *fhir.Resource // what is to be there; nil for a delete
	done   *upstream.Written
}

// change is the path of every request to change a record. It has the steps of
// serve and the same promise: no step can be skipped, the EHR is asked to change
// nothing before that is written down, and nothing leaves before its outcome is.
func (g *Gateway) change(w http.ResponseWriter, r *http.Request, x *exchange, path string) error {
	c := &write{}
	// 2. What is to be changed, and how? The rest is not even looked at yet.
	if err := parseChange(x, c, r, path); err != nil {
		return g.refuse(x, err)
	}
	// 3. Do the scopes cover it, and may apps do it here at all?
	if err := x.authoriseChange(c); err != nil {
		return g.refuse(x, err)
	}
	if err := c.read(r, x.ask.Interaction); err != nil {
		return g.refuse(x, err)
	}
	// 4. What is there now, as this token may see it.
	if err := g.before(x, c); err != nil {
		return g.refuse(x, err)
	}
	if c.found != nil {
		return g.giveFound(w, x, c)
	}
	// 5. What is to be there, from what the app sent: ours and stricter.
	if err := g.after(x, c); err != nil {
		return g.refuse(x, err)
	}
	// 6. Write down that the EHR is about to be asked. If that fails, it is not.
	x.event.Status = http.StatusProcessing
	if err := g.record(x, audit.Begun); err != nil {
		return err
	}
	// 7. Ask the EHR to change it, once.
	if err := g.store(x, c); err != nil {
		return g.refuse(x, err)
	}
	g.writeProvenance(x, c)
	// 8. Judge what it gives back, like anything it gives.
	shown := g.show(x, c)
	// 9. Write down how it ended, and say so.
	x.event.Status = x.statusOfChange(c)
	if err := g.record(x, audit.Released); err != nil {
		return unrecorded(err)
	}
	return g.respondChange(w, x, c, shown)
}
