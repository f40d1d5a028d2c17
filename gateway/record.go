package gateway

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// recordWait is what a sink is given to write an event. One that cannot stop
// halfway may take longer.
const recordWait = 10 * time.Second

// record is step 8: the event is durable before the first byte leaves. The
// client's going away does not keep it from being written.
func (g *Gateway) record(x *exchange, outcome string) error {
	if outcome == audit.Released {
		x.at("record")
	}
	x.event.Released, x.event.Masked, x.event.Withheld = x.counts.released, x.counts.masked, x.counts.withheld
	x.trace.Outcome(outcome)
	if x.trace.Discards() {
		// What is thrown away was not given to anybody.
		outcome, x.event.Released, x.event.Masked = audit.Explained, 0, 0
	}
	x.event.Outcome = outcome
	x.log.SetOutcome(outcome)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), recordWait)
	defer cancel()
	event := x.event
	id, err := reqctx.NewID(rand.Reader)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "This access cannot be recorded, so it is not given.")
	}
	event.ID, event.Time = id, g.now()
	if err := g.audit.Record(ctx, event); err != nil {
		return x.ends(fault.Wrap(err, fault.Unavailable, "This access cannot be recorded, so it is not given."))
	}
	return nil
}

// refuse writes down why nothing leaves and gives the error on. If not even
// that can be written down, the answer says nothing else.
func (g *Gateway) refuse(x *exchange, err error) error {
	outcome := audit.Failed
	switch kind := fault.KindOf(err); kind {
	case fault.NotFound:
		outcome = audit.Absent
	case fault.Invalid, fault.Forbidden, fault.MethodNotAllowed, fault.NotAcceptable, fault.UnsupportedMedia,
		fault.TooLarge, fault.Unsupported, fault.TooMany, fault.Unprocessable, fault.Conflict, fault.Precondition:
		outcome = audit.Refused
	default:
	}
	x.counts.released = 0
	x.event.Status = statusOf(err)
	x.trace.Fails(x.event.Type, err, x.event.Status)
	if recordErr := g.record(x, outcome); recordErr != nil {
		return recordErr
	}
	return err
}

// statusOnRelease is what the audit event says before the answer is written.
func (x *exchange) statusOnRelease(h *held) int {
	if h.read != nil && x.notModified(h.read) {
		return http.StatusNotModified
	}
	return http.StatusOK
}
