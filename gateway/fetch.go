package gateway

import (
	"errors"
	"io"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxResource = 32 << 20 // bytes of one resource or Bundle entry
	maxPages    = 50       // pages read to count for _summary=count, or to find a proof
	unusable    = "The record system gave an unusable answer."
)

// item is one resource, or one entry of a Bundle, as it came back.
type item struct {
	fhir.Entry
	call int // which of the plan's calls found it
}

// items is read as it is pulled: nothing is fetched before somebody wants it,
// and stopping closes what is open. An error ends it.
type items = iter.Seq2[item, error]

// narrow is step 4: the guard plans what is asked instead.
func (g *Gateway) narrow(x *exchange) error {
	known, err := x.src.Upstream.Capabilities(x.ctx)
	if err != nil {
		known = nil // narrow with the parameters R4 defines; the check decides anyway
	}
	x.plan, err = x.who.Narrow(x.ask, supports(known, x.ask))
	return err
}

// supports asks the upstream's CapabilityStatement. One that says nothing of a
// type is taken to know the standard parameters; _id of a read is used only
// when it is listed.
func supports(known *upstream.Capabilities, ask guard.Ask) guard.Supports {
	return func(typ, param string) bool {
		if known == nil || len(known.Types[typ].Params) == 0 {
			return ask.Interaction == guard.Search || param != "_id"
		}
		return known.Types[typ].Params[param]
	}
}

// fetch is step 5: the plan's calls in order, or the pages a link goes on with.
func (g *Gateway) fetch(x *exchange) items {
	return func(yield func(item, error) bool) {
		if x.resume != nil {
			for _, p := range x.resume {
				answer, err := x.src.Upstream.Next(x.ctx, p.URL)
				if !g.bundle(x, answer, err, p.Call, yield) {
					return
				}
			}
			return
		}
		for i, call := range x.plan.Calls {
			if call.ID != "" {
				if !g.direct(x, call.ID, yield) {
					return
				}
				continue
			}
			answer, err := x.src.Upstream.Search(x.ctx, x.ask.Type, call.Query)
			if !g.bundle(x, answer, err, i, yield) {
				return
			}
		}
	}
}

// direct reads one resource by its id; a missing one yields nothing, and so does
// one that the upstream does not give us: that would tell that it is there.
func (g *Gateway) direct(x *exchange, id string, yield func(item, error) bool) bool {
	answer, err := x.src.Upstream.Read(x.ctx, x.ask.Type, id)
	switch kind := fault.KindOf(err); {
	case err != nil && kind == fault.NotFound:
		return true
	case err != nil && kind == fault.Unsupported:
		if x.depth == 0 {
			x.log.Fail(err) // for the operator, whose credential may reach too little
		}
		return true
	case err != nil:
		return yield(item{}, err)
	}
	raw, err := readWhole(answer.Body)
	if err != nil {
		return yield(item{}, err)
	}
	resource, err := fhir.ParseResource(raw)
	if err != nil && !jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return yield(item{}, fault.Wrap(err, fault.Upstream, unusable))
	}
	return yield(item{Entry: fhir.Entry{Resource: resource, Err: err}}, nil)
}

func readWhole(body io.ReadCloser) ([]byte, error) {
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, maxResource+1))
	if err != nil {
		return nil, fault.Wrap(errors.New("gateway: the upstream's answer broke off"), fault.Upstream, unusable)
	}
	if len(raw) > maxResource {
		return nil, fault.Wrap(errors.New("gateway: the upstream's answer is over the limit"), fault.Upstream, unusable)
	}
	return raw, nil
}

// bundle yields the entries of a page and notes where the next one is; to
// count, and to find a proof, it goes on to the next one itself.
func (g *Gateway) bundle(x *exchange, answer *upstream.Answer, err error, call int, yield func(item, error) bool) bool {
	for page := 1; ; page++ {
		if err != nil {
			return yield(item{}, err)
		}
		next, more := entries(answer, call, yield)
		switch {
		case !more:
			return false
		case next == "":
			return true
		case !x.plan.CountOnly && x.depth == 0:
			x.next = append(x.next, pending{Call: call, URL: next})
			return true
		case x.depth > 0 && (page == maxPages || *x.proofs >= maxProofs):
			return true // what was not found on so many pages is not proven
		case x.depth > 0:
			*x.proofs++
		case page == maxPages:
			return yield(item{}, fault.New(fault.Unsupported, "There are too many results to count; narrow the search."))
		}
		answer, err = x.src.Upstream.Next(x.ctx, next)
	}
}

// entries yields one page. more is false when nothing further is wanted.
func entries(answer *upstream.Answer, call int, yield func(item, error) bool) (next string, more bool) {
	defer func() { _ = answer.Body.Close() }()
	reader := fhir.NewBundleReader(answer.Body, maxResource)
	for {
		entry, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return reader.NextLink(), true
		}
		if err != nil {
			return "", yield(item{}, fault.Wrap(err, fault.Upstream, unusable))
		}
		if !yield(item{Entry: entry, call: call}, nil) {
			return "", false
		}
	}
}
