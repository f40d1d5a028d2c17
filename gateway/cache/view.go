package cache

import (
	"context"
	"strings"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// Request says whose answers a View gives.
type Request struct {
	Source, Patient string
	Upstream        upstream.Reader
	Control         Control
	Token           Token // that came with the request
}

// View is a source's upstream as one request for one patient sees it: what the
// cache holds of that patient, and the upstream for the rest. The epoch is read
// when it is made, so all that a request gets is of one epoch, and what it
// fetches is kept under the epoch that was there before it asked.
type View struct {
	c     *Cache
	r     Request
	of    part
	epoch string
	seen  uint64
	off   string // why nothing is kept or given: fwdBypass, fwdRequest; "" when not
	party string // who asks
	tally *tally
	hold  bool
	still func([]byte) bool
	held  *heldBack
}

// heldBack are fetched answers that are kept only when Confirm is called.
type heldBack struct {
	list   []func()
	before []*job // of which something was kept before
}

var _ upstream.Reader = (*View)(nil)

// View opens the cache for one request.
func (c *Cache) View(ctx context.Context, r Request) *View {
	v := &View{c: c, r: r, of: part{r.Source, r.Patient}, party: reqctx.Party(ctx), tally: &tally{}, held: &heldBack{}}
	switch epoch, ok := "", false; {
	case r.Patient == "":
		v.off = fwdBypass
	case r.Control.NoStore:
		v.off = fwdRequest
	default:
		if epoch, ok = c.epochs.read(ctx, v.of); !ok {
			v.off = fwdBypass
			break
		}
		v.epoch = epoch
		v.seen = c.memory.seen(v.of, epoch)
	}
	return v
}

// Holding gives the view for a question whose answer may be that there is
// nothing, or nothing for this patient. What it fetches is kept only once
// Confirm says that something of it was the patient's: otherwise the second
// request would tell a resource of somebody else, which is quickly refused, from
// one that does not exist, which is fetched again (docs/pitfalls.md 9). still
// says of the body of a later answer whether that is so then; without one it is
// not fetched ahead.
func (v *View) Holding(still func(body []byte) bool) *View {
	w := *v
	w.hold, w.still, w.held = true, still, &heldBack{}
	return &w
}

// Confirm keeps what a Holding view has fetched, once it is whole.
func (v *View) Confirm() {
	for _, keep := range v.held.list {
		keep()
	}
	v.held.list, v.held.before = nil, nil
}

// Deny says of what a Holding view has fetched that nothing of it is the patient's.
// What was kept of it before, when it was, is over. It costs nothing where nothing
// was: absent and foreign are alike.
func (v *View) Deny(ctx context.Context) {
	for _, j := range v.held.before {
		v.c.gone(ctx, j)
	}
	v.held.list, v.held.before = nil, nil
}

// Status tells what became of the answers so far.
func (v *View) Status() Status { return v.tally.status(v.c.o.Now()) }

// Read implements upstream.Reader.
func (v *View) Read(ctx context.Context, typ, id string) (*upstream.Answer, error) {
	return v.get(ctx, question{kind: "read", typ: typ, want: typ, request: id})
}

// Search implements upstream.Reader.
func (v *View) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	return v.get(ctx, question{kind: "search", typ: typ, want: "Bundle", request: query})
}

// Next implements upstream.Reader.
func (v *View) Next(ctx context.Context, url string) (*upstream.Answer, error) {
	return v.get(ctx, question{kind: "next", typ: typeOf(url), want: "Bundle", request: url})
}

// Capabilities implements upstream.Reader; they are the same for everybody.
func (v *View) Capabilities(ctx context.Context) (*upstream.Capabilities, error) {
	known, err := v.r.Upstream.Capabilities(ctx)
	if err != nil {
		v.tally.trouble()
	}
	return known, err
}

// typeOf gives the resource type that a paging link seems to be of, "" when it
// does not say. It decides how long an answer is kept and nothing else.
func typeOf(url string) string {
	path, _, _ := strings.Cut(url, "?")
	last := path[strings.LastIndexByte(path, '/')+1:]
	for i, r := range last {
		if (r < 'A' || r > 'Z') && (i == 0 || r < 'a' || r > 'z') {
			return ""
		}
	}
	return last
}

// question is one thing to ask of an upstream.
type question struct {
	kind    string
	typ     string // of resource, "" when not known
	want    string // the type of resource that a whole answer is
	request string
}

type fetcher func(context.Context) (*upstream.Answer, error)

// at asks an upstream.
func (q question) at(up upstream.Reader) fetcher {
	return func(ctx context.Context) (*upstream.Answer, error) {
		switch q.kind {
		case "read":
			return up.Read(ctx, q.typ, q.request)
		case "search":
			return up.Search(ctx, q.typ, q.request)
		default:
			return up.Next(ctx, q.request)
		}
	}
}

// job is what it takes to answer a question; keeps says whether what comes of it
// may be kept at all.
func (v *View) job(q question) (j *job, keeps bool) {
	kind := q.kind
	if v.hold {
		kind += " held"
	}
	j = &job{v: v, q: q, ttl: v.c.o.TTL(v.r.Source, q.typ), fetch: q.at(v.r.Upstream)}
	if v.off != "" || j.ttl <= 0 {
		return j, false
	}
	j.name = v.c.names.of("entry", v.of.source, v.c.o.Origin(v.of.source), v.of.patient, v.epoch, kind, q.typ, q.request)
	return j, true
}

// get answers from the cache, or asks.
func (v *View) get(ctx context.Context, q question) (*upstream.Answer, error) {
	j, keeps := v.job(q)
	if !keeps {
		return v.straight(ctx, j.fetch)
	}
	ttl := j.ttl
	kept := v.c.lookup(ctx, j)
	if kept != nil {
		age := v.age(kept)
		if age < ttl && v.r.Control.accepts(age) {
			v.tally.hit(kept.fetched, ttl, false, false)
			v.c.sessions.note(j, kept.fetched)
			return kept.answer(), nil
		}
		if age < ttl+v.c.o.StaleWhileRevalidate && !v.hold && !v.r.Control.HasMaxAge && v.r.Control.accepts(age) {
			v.c.revalidate(j)
			v.tally.hit(kept.fetched, ttl, true, false)
			v.c.sessions.note(j, kept.fetched)
			return kept.answer(), nil
		}
	}
	if v.r.Control.OnlyIfCached {
		v.tally.trouble()
		return nil, fault.New(fault.UpstreamTimeout, "This is not kept here, and the request does not want it asked for.") // RFC 9111 §5.2.1.7
	}
	return v.ask(ctx, j, kept)
}

// age never is negative: a clock that was set back makes nothing older.
func (v *View) age(e *entry) time.Duration { return max(v.c.o.Now().Sub(e.fetched), 0) }

// straight asks without looking or keeping.
func (v *View) straight(ctx context.Context, fetch fetcher) (*upstream.Answer, error) {
	if v.r.Control.OnlyIfCached {
		v.tally.trouble()
		return nil, fault.New(fault.UpstreamTimeout, "This is not kept here, and the request does not want it asked for.")
	}
	at := v.c.o.Now()
	answer, err := fetch(ctx)
	if err != nil {
		v.tally.trouble()
		return nil, err
	}
	why := v.off
	if why == "" {
		why = fwdBypass
	}
	v.tally.fetched(at, 0, why, false)
	return answer, nil
}

// ask fetches, and falls back to what is kept when the upstream is down.
func (v *View) ask(ctx context.Context, j *job, kept *entry) (*upstream.Answer, error) {
	fwd := fwdMiss
	switch {
	case v.r.Control.NoCache || kept != nil && v.age(kept) < j.ttl:
		fwd = fwdRequest
	case kept != nil:
		fwd = fwdStale
	}
	if v.hold && kept != nil {
		v.held.before = append(v.held.before, j)
	}
	f, joined := v.c.join(ctx, j, v.r.Control.NoCache || v.r.Control.HasMaxAge)
	if joined {
		v.c.count(j, "memory", saidShared)
	}
	// With something to fall back to, nothing is given before all of it is there.
	answer, err := f.answer(ctx, kept != nil, joined)
	switch {
	case err == nil:
		v.tally.fetched(f.fetched(), j.ttl, fwd, joined)
		v.keep(j, f)
		return answer, nil
	case isTooLarge(err):
		return v.straight(ctx, j.fetch)
	case ctx.Err() == nil && kept != nil && isDown(err) && !v.r.Control.NoCache && v.age(kept) < j.ttl+v.c.o.StaleIfError:
		v.tally.hit(kept.fetched, j.ttl, true, true)
		return kept.answer(), nil
	}
	v.tally.trouble()
	return nil, err
}

// keep arranges for what a flight brings to be kept: the flight does so itself,
// unless that waits for Confirm.
func (v *View) keep(j *job, f *flight) {
	if !v.hold {
		f.whenWhole(func(e *entry) {
			v.tally.stored()
			v.c.sessions.note(j, e.fetched)
		})
		return
	}
	v.held.list = append(v.held.list, func() {
		f.whenWhole(func(e *entry) {
			if v.c.keep(j, e) {
				v.tally.stored()
				v.c.sessions.note(j, e.fetched)
				v.c.work.Go(func() { v.c.share(v.c.life, j, e) })
			}
		})
	})
}

// isDown says whether a fault is one for which something stale may be given.
func isDown(err error) bool {
	switch kind := fault.KindOf(err); kind {
	case fault.Upstream, fault.UpstreamTimeout, fault.Unavailable:
		return true
	default:
		return false
	}
}
