package gateway

import (
	"slices"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// This file keeps what is withheld from showing in the answer to a search. The
// upstream searches the patient's whole record, or everybody's where the patient
// is no parameter, and pages what it finds; what of it does not leave must not be
// told by what comes with it or by how many pages there are.

// worthwhile gives the first page from url on that holds something to release,
// "" when there is none: otherwise a next link would say that something
// withheld matches the search.
func (g *Gateway) worthwhile(x *exchange, url string, found item) (string, error) {
	for ; x.ahead < maxPages; x.ahead++ {
		answer, err := x.up.Next(x.ctx, url)
		if err != nil {
			return "", err
		}
		some, next, err := g.anything(x, answer, found)
		switch {
		case err != nil:
			return "", err
		case some:
			return url, nil
		case next == "":
			return "", nil
		}
		url = next
	}
	return url, nil // so long a way that its end tells nothing
}

// anything looks for a match on a page that would be released.
func (g *Gateway) anything(x *exchange, answer *upstream.Answer, marked item) (found bool, next string, err error) {
	next, more := entries(answer, marked, func(one item, failed error) bool {
		switch {
		case failed != nil:
			err = failed
			return false
		case one.Change.Gone:
			found, err = g.judgeGone(x, one)
			found = found && !x.early(one.Change.LastModified)
			return !found && err == nil
		case one.Resource == nil || one.Err != nil || one.Mode == "outcome":
			return true
		}
		v, match := one.plan.JudgeFound(one.Resource, one.Mode, one.call)
		if found = match && v.Decision != guard.Withhold && x.wanted(kept{resource: one.Resource, match: match}); found && v.Decision != guard.Keep {
			var said ruling
			said, err = g.judge(x, one)
			found = said.passed
		}
		return !found && err == nil
	})
	return found, next, endOf(more, err)
}

// endOf tells an error from a reader who has seen enough.
func endOf(more bool, err error) error {
	if more {
		return nil
	}
	return err
}

// companions are the includes of an answer, held back until all matches are
// known. One leaves if it and something that leaves point at each other:
// what only a withheld match leads to would tell about that match.
type companions struct {
	base    fhir.Base
	left    map[string]bool // Type/id of what leaves
	pointed map[string]bool // what that points to
	waiting []companion
}

type companion struct {
	kept
	name string   // Type/id
	refs []string // what it points to
}

func newCompanions(base fhir.Base) *companions {
	return &companions{base: base, left: map[string]bool{}, pointed: map[string]bool{}}
}

func (c *companions) read(one kept) companion {
	out := companion{kept: one, name: one.resource.Type() + "/" + one.resource.ID()}
	c.base.EachReference(one.resource.Root(), func(to fhir.Reference) { out.refs = append(out.refs, to.Type+"/"+to.ID) })
	return out
}

func (c *companions) wait(one kept) { c.waiting = append(c.waiting, c.read(one)) }

// leaves notes what is released.
func (c *companions) leaves(one companion) {
	c.left[one.name] = true
	for _, to := range one.refs {
		c.pointed[to] = true
	}
}

// joined gives those that may leave, and keeps the others. With :iterate one
// companion leads to another, so it goes round until nothing is added.
func (c *companions) joined() []companion {
	var out []companion
	for {
		before := len(out)
		c.waiting = slices.DeleteFunc(c.waiting, func(one companion) bool {
			join := c.pointed[one.name] || slices.ContainsFunc(one.refs, func(to string) bool { return c.left[to] })
			if join {
				c.leaves(one)
				out = append(out, one)
			}
			return join
		})
		if len(out) == before {
			return out
		}
	}
}
