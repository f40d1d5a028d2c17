package probe

import (
	"errors"
	"strings"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// hint says what an operator may look at when the EHR gives nothing at all.
func hint(err error) string {
	text := err.Error()
	say := func(what string) string { return " (" + what + ")" }
	switch kind := fault.KindOf(err); {
	case kind == fault.NotFound:
		return say("there is no Patient with this id at fhir_base, or the source's credential may not see it")
	case strings.Contains(text, "status 401"), strings.Contains(text, "status 403"):
		return say("it refuses the source's credential: check auth, and what it may read there")
	case strings.Contains(text, "status 3"):
		return say("it answers with a redirect, which is not followed: check fhir_base")
	case kind == fault.Unavailable:
		return say("check fhir_base, the network, and tls of the source")
	case kind == fault.TooMany:
		return say("try again later, or with limits of the source")
	case kind == fault.UpstreamTimeout:
		return say("check the network, or give the source a longer timeout")
	case errors.Is(err, upstream.ErrUnreadable), strings.Contains(text, "HTML"):
		return say("it answers something that is no FHIR, a page to sign in for instance: check fhir_base")
	case strings.Contains(text, "JSON"), strings.Contains(text, "broke off"):
		return say("its answer is broken, or no FHIR: check what stands between")
	case kind == fault.Upstream:
		return say("the EHR, or what stands before it, fails: see its log")
	}
	return ""
}
