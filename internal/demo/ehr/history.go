package ehr

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// history answers GET [type]/[id]/_history: all versions, newest first (R4
// http, section 3.1.0.11).
func (s *Server) history(c *call, typ int, id string) (answer, error) {
	if err := s.onlyKnown(c, "_count", pageParam); err != nil {
		return answer{}, err
	}
	count, token, err := pageParams(c)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		return s.nextPage(c, token)
	}
	found, ok := s.store.find(typ, id)
	if !ok {
		return answer{}, notFound()
	}
	snap := &snapshot{kind: "history", path: strings.Join(c.path, "/"), query: search.Query{Count: count}, typ: typ}
	for _, v := range s.store.versions(found.record) {
		snap.rows = append(snap.rows, rowRef{record: found.record, ordinal: uint32(v.ordinal)}) //nolint:gosec // small and positive
	}
	snap.total = len(snap.rows)
	return s.firstPage(c, snap)
}

// historyEntry says how a version came to be.
func (s *Server) historyEntry(c *call, res *fhir.Resource, v stored) bundleEntry {
	e := bundleEntry{fullURL: fullURL(c, res), resource: res.Bytes(), method: http.MethodPut, url: res.Type() + "/" + res.ID()}
	e.response = &entryResponse{status: http.StatusOK, etag: etag(versionID(res, v.ordinal)), modified: res.LastUpdated()}
	switch {
	case v.gone:
		e.method, e.resource, e.response.status = http.MethodDelete, nil, http.StatusNoContent
	case v.ordinal == 1:
		e.method, e.url, e.response.status = http.MethodPost, res.Type(), http.StatusCreated
	}
	return e
}

// pageParams reads _count and the page token of what is no search.
func pageParams(c *call) (count int, token string, err error) {
	pairs, err := search.ParsePairs(c.query)
	if err != nil {
		return 0, "", refuse(http.StatusBadRequest, "invalid", "%s", err)
	}
	count = -1
	for _, p := range pairs {
		switch p.Name {
		case "_count":
			if count, err = strconv.Atoi(p.Value); err != nil || count < 0 {
				return 0, "", refuse(http.StatusBadRequest, "value", "_count must be a number that is not negative")
			}
		case pageParam:
			token = p.Value
		}
	}
	return count, token, nil
}
