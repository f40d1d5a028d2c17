package ehr

import (
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// create answers POST [type] (R4 http, section 3.1.0.8): the server chooses the
// id. With If-None-Exist, one match is returned instead and several are an
// error (section 3.1.0.8.1).
func (s *Server) create(c *call, typ int) (answer, error) {
	res, err := s.body(c, typ)
	if err != nil {
		return answer{}, err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if condition := c.header.Get("If-None-Exist"); condition != "" {
		a, found, err := s.existing(c, typ, condition)
		if err != nil || found {
			return a, err
		}
	}
	id, err := newID(s.o.Rand)
	if err != nil {
		return answer{}, err
	}
	return s.save(c, typ, id, res, "1", http.StatusCreated)
}

// existing evaluates If-None-Exist: the one match, if there is one.
func (s *Server) existing(c *call, typ int, condition string) (answer, bool, error) {
	q, err := s.parse(c, typ, strings.TrimPrefix(condition, "?"), true)
	if err != nil {
		return answer{}, false, err
	}
	if len(q.Params) == 0 {
		return answer{}, false, refuse(http.StatusPreconditionFailed, "invalid", "If-None-Exist holds no condition")
	}
	rows, err := s.matches(c, typ, q, nil)
	if err != nil || len(rows) == 0 {
		return answer{}, false, err
	}
	if len(rows) > 1 {
		return answer{}, false, refuse(http.StatusPreconditionFailed, "multiple-matches", "If-None-Exist matches several resources")
	}
	a, err := s.represent(&call{}, s.store.get(rows[0].record))
	return a, err == nil, err
}

// update answers PUT [type]/[id] (R4 http, section 3.1.0.4). An id that was
// never used is created; If-Match must name the current version.
func (s *Server) update(c *call, typ int, id string) (answer, error) {
	res, err := s.body(c, typ)
	if err != nil {
		return answer{}, err
	}
	if res.ID() != id {
		return answer{}, refuse(http.StatusBadRequest, "invalid", "the id of the resource is not that of the address")
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	found, ok := s.store.find(typ, id)
	version, err := s.nextVersion(c, found, ok)
	if err != nil {
		return answer{}, err
	}
	status := http.StatusOK
	if !ok || found.gone {
		status = http.StatusCreated
	}
	return s.save(c, typ, id, res, version, status)
}

// remove answers DELETE [type]/[id] (R4 http, section 3.1.0.7). Deleting what is
// not there succeeds.
func (s *Server) remove(c *call, typ int, id string) (answer, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	found, ok := s.store.find(typ, id)
	version, err := s.nextVersion(c, found, ok)
	if err != nil {
		return answer{}, err
	}
	if !ok || found.gone {
		return answer{status: http.StatusNoContent}, nil
	}
	tombstone := encode(map[string]any{
		"resourceType": resourceTypes[typ].name, "id": id,
		"meta": map[string]string{"versionId": version, "lastUpdated": s.o.Now().UTC().Format(instant)},
	})
	s.store.put(typ, id, tombstone, nil, true)
	return answer{status: http.StatusNoContent, header: http.Header{"Etag": {etag(version)}}}, nil
}

// nextVersion checks If-Match and gives the version that comes after.
func (s *Server) nextVersion(c *call, found stored, ok bool) (string, error) {
	match := c.header.Values("If-Match")
	if !ok {
		if len(match) > 0 {
			return "", refuse(http.StatusPreconditionFailed, "conflict", "there is no such resource")
		}
		return "1", nil
	}
	res, err := fhir.ParseResource(found.raw)
	if err != nil {
		return "", err
	}
	current := versionID(res, found.ordinal)
	if len(match) > 0 && !matchesTag(match, etag(current)) {
		return "", refuse(http.StatusPreconditionFailed, "conflict", "the resource has another version")
	}
	next := found.ordinal + 1
	if n, err := strconv.Atoi(current); err == nil && n >= next {
		next = n + 1
	}
	return strconv.Itoa(next), nil
}

// save stores one version and answers as Prefer asks (section 3.1.0.1.7).
func (s *Server) save(c *call, typ int, id string, res *fhir.Resource, version string, status int) (answer, error) {
	updated := s.o.Now().UTC().Format(instant)
	p, err := s.prepare(withServerElements(res, id, version, updated))
	if err != nil {
		return answer{}, refuse(http.StatusBadRequest, "structure", "%s", err)
	}
	s.store.put(typ, id, p.raw, p.keys, false)
	a := answer{status: status, header: http.Header{"Etag": {etag(version)}}, resource: p.raw, modified: updated}
	if status == http.StatusCreated {
		a.header.Set("Location", fmt.Sprintf("%s/%s/%s/_history/%s", c.base, resourceTypes[typ].name, id, version))
	}
	switch prefer(c.header, "return") {
	case "minimal":
		a.resource = nil
	case "OperationOutcome":
		a.resource, a.authored = outcome("information", "informational", "stored"), true
	}
	return a, nil
}

// body reads the resource that a write carries.
func (s *Server) body(c *call, typ int) (*fhir.Resource, error) {
	if !c.inner {
		media, _, err := mime.ParseMediaType(c.header.Get("Content-Type"))
		if err != nil || !isJSON(media) {
			return nil, refuse(http.StatusUnsupportedMediaType, "not-supported", "only JSON is read")
		}
	}
	if c.query != "" {
		if err := s.onlyKnown(c); err != nil {
			return nil, err
		}
	}
	res, found, err := parseKnown(c.body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "structure", "%s", err)
	}
	if found != typ {
		return nil, refuse(http.StatusBadRequest, "invalid", "the resource is not of the type of the address")
	}
	if meta := res.Root().Get("meta"); meta.Exists() && !meta.IsObject() {
		return nil, refuse(http.StatusBadRequest, "structure", "meta is not an object")
	}
	return res, nil
}

// prefer gives one preference of the Prefer headers (RFC 7240).
func prefer(header http.Header, name string) string {
	for _, one := range strings.FieldsFunc(strings.Join(header.Values("Prefer"), ","), func(r rune) bool { return r == ',' || r == ';' }) {
		if key, value, _ := strings.Cut(strings.TrimSpace(one), "="); strings.EqualFold(key, name) {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// newID makes a random (version 4) UUID.
func newID(from io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(from, b[:]); err != nil {
		return "", fmt.Errorf("ehr: reading randomness: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}
