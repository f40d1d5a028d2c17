package ehr

import (
	"net/http"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

// read answers GET [type]/[id], unless the client has the current version
// (R4 http, section 3.1.0.1.5).
func (s *Server) read(c *call, typ int, id string) (answer, error) {
	if err := s.onlyKnown(c, "_elements", "_summary"); err != nil {
		return answer{}, err
	}
	found, ok := s.store.find(typ, id)
	if !ok {
		return answer{}, notFound()
	}
	if c.modes.has(ForeignRead) || c.modes.has(DisguisedRead) {
		if other, ok := s.foreignTo(typ, found); ok {
			found = other
		}
	}
	if found.gone {
		return answer{}, refuse(http.StatusGone, "deleted", "the resource has been deleted")
	}
	a, err := s.represent(c, found)
	if err != nil {
		return answer{}, err
	}
	if c.modes.has(DisguisedRead) {
		res, err := fhir.ParseResource(a.resource)
		if err != nil {
			return answer{}, err
		}
		a.resource = withMember(a.resource, res.Root(), "id", encode(id))
	}
	if unchanged(c.header, a) {
		a.status, a.resource = http.StatusNotModified, nil
	}
	return a, nil
}

// vread answers GET [type]/[id]/_history/[version].
func (s *Server) vread(c *call, typ int, id, version string) (answer, error) {
	found, ok := s.store.find(typ, id)
	if !ok {
		return answer{}, notFound()
	}
	for _, v := range s.store.versions(found.record) {
		res, err := fhir.ParseResource(v.raw)
		if err != nil {
			return answer{}, err
		}
		if versionID(res, v.ordinal) != version {
			continue
		}
		if v.gone {
			return answer{}, refuse(http.StatusGone, "deleted", "this version is a deletion")
		}
		return s.represent(c, v)
	}
	return answer{}, notFound()
}

// represent makes the answer for one stored version, projected if asked for.
func (s *Server) represent(c *call, v stored) (answer, error) {
	res, err := fhir.ParseResource(v.raw)
	if err != nil {
		return answer{}, err
	}
	view, err := viewOf(c)
	if err != nil {
		return answer{}, err
	}
	return answer{
		status:   http.StatusOK,
		header:   http.Header{"Etag": {etag(versionID(res, v.ordinal))}},
		resource: view.of(res),
		modified: res.LastUpdated(),
	}, nil
}

func etag(version string) string { return `W/"` + version + `"` }

// unchanged evaluates If-None-Match and If-Modified-Since; the latter counts
// only when the former is absent (RFC 9110, section 13.2.2).
func unchanged(header http.Header, a answer) bool {
	if tags := header.Values("If-None-Match"); len(tags) > 0 {
		return matchesTag(tags, a.header.Get("Etag"))
	}
	since, err := http.ParseTime(header.Get("If-Modified-Since"))
	if err != nil {
		return false
	}
	modified, err := time.Parse(time.RFC3339, a.modified)
	return err == nil && !modified.Truncate(time.Second).After(since)
}

// matchesTag compares weakly: FHIR's tags are weak.
func matchesTag(headers []string, tag string) bool {
	for _, one := range strings.Split(strings.Join(headers, ","), ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}
