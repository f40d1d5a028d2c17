package gateway

import (
	"net/http"

	"github.com/portico-fhir/portico/gateway/audit"
)

// serve is the path of every request. Each step either hands on what
// the next one needs or ends the request; no step can be skipped, and nothing
// of the record leaves before the last one.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, src *source, path string) error {
	x := g.begin(r, src)
	defer x.tell()

	// 1. Who is asking? The token alone tells.
	if err := g.authenticate(x, r); err != nil {
		return x.ends(err)
	}
	if err := g.spend(x); err != nil {
		return x.ends(err)
	}
	// Changes go a way of their own, with the same steps: see write.go.
	if changes(r, path) {
		return g.change(w, r, x, path)
	}
	// Was the very same answered a moment ago? Then it was judged and rewritten,
	// and what is left is to write it down and to give it.
	if held := g.again(x, r, path); held != nil {
		return g.give(w, r, x, held)
	}
	// 2. What is asked? From here on only what was understood exists.
	if err := g.parse(x, r, path); err != nil {
		return g.refuse(x, err)
	}
	// 3. Do the scopes cover it at all?
	if err := x.authorise(); err != nil {
		return g.refuse(x, err)
	}
	// A file is proven, fetched, recorded and streamed in steps of its own.
	if x.file != nil {
		return g.serveFile(w, r, x)
	}
	// 4. Add the compartment condition.
	if err := g.narrow(x); err != nil {
		return g.refuse(x, err)
	}
	// 5. Ask the upstream. What it gives is read as the next steps pull it.
	found := g.fetch(x)
	// 6. Judge every resource, whatever was asked.
	kept := g.choose(x, g.check(x, found))
	// 7. Make it ours: references, links, masked places.
	answer := g.rewrite(x, kept)
	// Small answers are held whole, so that an error in the middle of one is
	// still an error to the app; of large ones the beginning is held.
	held, err := g.holdBack(x, answer)
	if err != nil {
		return g.refuse(x, err)
	}
	defer held.close()
	g.keep(x, held)
	return g.give(w, r, x, held)
}

// give ends the path, also of an answer that was kept.
func (g *Gateway) give(w http.ResponseWriter, r *http.Request, x *exchange, held *held) error {
	// 8. Write down that it leaves. If that fails, it does not.
	x.event.Status = x.statusOnRelease(held)
	if err := g.record(x, audit.Released); err != nil {
		return err
	}
	// 9. Let it go.
	return g.respond(w, r, x, held)
}
