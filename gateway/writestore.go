package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// storeWait bounds one change at the EHR, besides the connector's own limits.
const storeWait = time.Minute

// store is step 7: the EHR is asked once. The app's going away does not stop it
// halfway.
func (g *Gateway) store(x *exchange, c *write) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), storeWait)
	defer cancel()
	err := x.send(ctx, c)
	if errors.Is(err, upstream.ErrUnsent) {
		// The record is as it was, and so is what is kept of it.
		return &fault.Error{Kind: fault.KindOf(err), Err: err, RetryAfter: fault.RetryAfterOf(err), Public: fault.PublicOf(err) + " Nothing was changed."}
	}
	changed := []*fhir.Resource{c.after}
	if c.before != nil {
		changed = append(changed, c.before.resource)
	}
	g.changed(x, changed...)
	switch {
	case err != nil:
		return x.storeFault(err)
	case x.ask.Interaction != guard.Create:
		c.done.ID = x.ask.ID
	case !x.made(ctx, c.done):
		return fault.New(fault.Upstream, "The record system took the resource without saying under which id: search for it before it is sent again.")
	}
	x.event.ResourceID = c.done.ID
	return nil
}

// send asks for the change.
func (x *exchange) send(ctx context.Context, c *write) error {
	etag := `W/"` + c.ifMatch + `"`
	kind, ask := "", func() (*upstream.Written, error) { return nil, errors.New("gateway: no such change") }
	switch x.ask.Interaction {
	case guard.Create:
		kind, ask = "create", func() (*upstream.Written, error) { return x.src.Writes.Create(ctx, x.ask.Type, c.after.Bytes()) }
	case guard.Update, guard.Patch:
		kind, ask = "update", func() (*upstream.Written, error) {
			return x.src.Writes.Update(ctx, x.ask.Type, x.ask.ID, c.after.Bytes(), etag)
		}
	case guard.Delete:
		kind, ask = "delete", func() (*upstream.Written, error) { return x.src.Writes.Delete(ctx, x.ask.Type, x.ask.ID, etag) }
	default:
	}
	return x.trace.Made(kind, x.ask.Type, func() error {
		done, err := ask()
		c.done = done
		return err
	})
}

// made says whether what the record says that it has made is the patient's. One
// that knows such a resource already may give that back in its place, whoever's it
// is, and not even its id may be told then.
func (x *exchange) made(ctx context.Context, done *upstream.Written) bool {
	body := done.Body
	if len(body) == 0 && done.ID != "" {
		answer, err := x.src.Upstream.Read(ctx, x.ask.Type, done.ID)
		if err != nil {
			return false
		}
		if body, err = readWhole(answer.Body); err != nil {
			return false
		}
	}
	r, err := fhir.ParseResource(body)
	if err != nil || r.Type() != x.ask.Type || r.ID() != done.ID || !x.who.Owns(r) {
		return false
	}
	done.Body = body
	return true
}

// storeFault says what a failed change means to the app.
func (x *exchange) storeFault(err error) error {
	switch kind := fault.KindOf(err); {
	case kind == fault.Conflict && x.ask.Interaction != guard.Create:
		return fault.Wrap(err, fault.Precondition, "The resource has changed meanwhile: read it again.")
	case kind == fault.Conflict:
		return fault.Wrap(err, fault.Conflict, "The record system cannot take the resource beside what is there.")
	case kind == fault.Invalid:
		return fault.Wrap(err, fault.Unprocessable, "The record system does not take this resource.")
	case kind == fault.NotFound && x.ask.Interaction == guard.Create, kind == fault.Unsupported:
		return fault.Wrap(err, fault.MethodNotAllowed, "The record system does not offer this.")
	case kind == fault.UpstreamTimeout, kind == fault.Unavailable, kind == fault.Upstream && x.ask.Interaction != guard.Create:
		return &fault.Error{
			Kind: kind, Err: err, RetryAfter: fault.RetryAfterOf(err),
			Public: "The record system did not say whether it made the change: read before trying again.",
		}
	}
	return err
}

// unrecorded is for a change that was made and whose outcome could not be
// written down; that it was begun is.
func unrecorded(err error) error {
	return fault.Wrap(err, fault.Unavailable, "The change was made but its outcome cannot be recorded, so nothing more is given: read before trying again.")
}

// show is step 8: the resource as it is stored now goes the way of a read. What
// may not be read is not shown; the change stands.
func (g *Gateway) show(x *exchange, c *write) *piece {
	read := guard.Ask{Interaction: guard.Read, Type: x.ask.Type, ID: c.done.ID}
	if x.ask.Interaction == guard.Delete || c.prefer == "minimal" || c.prefer == "OperationOutcome" || x.who.Authorise(read) != nil {
		return nil
	}
	view, err := g.given(x, c.done, read)
	if err != nil {
		_, view, err = g.readNow(x, read.Type, read.ID)
	}
	if err != nil {
		if fault.KindOf(err) != fault.NotFound {
			x.log.Fail(err)
		}
		return nil
	}
	x.counts.released++
	return view
}

// given judges the resource that came with the answer.
func (g *Gateway) given(x *exchange, done *upstream.Written, read guard.Ask) (*piece, error) {
	r, err := fhir.ParseResource(done.Body)
	if err != nil {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	sub := x.sub(read)
	if err := g.narrow(sub); err != nil {
		return nil, err
	}
	if len(sub.plans) == 0 {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	_, view, err := g.single(sub, func(yield func(item, error) bool) {
		yield(item{Entry: fhir.Entry{Resource: r}, plan: sub.plans[0]}, nil)
	})
	return view, err
}

func (x *exchange) statusOfChange(c *write) int {
	switch {
	case x.ask.Interaction == guard.Create:
		return http.StatusCreated
	case x.ask.Interaction == guard.Delete && c.prefer != "OperationOutcome":
		return http.StatusNoContent
	}
	return http.StatusOK
}
