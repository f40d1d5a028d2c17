package ehr

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

// file is content as it is, not as a resource.
type file struct {
	contentType string
	data        []byte
}

// documents answers GET documents/{id}.{ext}: the content of a Binary at an
// address that speaks no FHIR, as EHRs give it to their own viewers.
func (s *Server) documents(name string) (answer, error) {
	id := strings.TrimSuffix(name, path.Ext(name))
	typ, _ := typeNamed("Binary")
	found, ok := s.store.find(typ, id)
	if !ok || found.gone {
		return answer{}, notFound()
	}
	return asFile(found)
}

// wantsFile says whether a Binary is to be given as it is: everything but FHIR
// is asked for (R4 Binary, section 2.46.3), or the server has nothing else.
func wantsFile(c *call) bool {
	if len(c.path) != 2 || c.path[0] != "Binary" || c.method != http.MethodGet || c.inner {
		return false
	}
	if c.modes.has(RawBinary) {
		return true
	}
	return acceptable(c) != nil && !strings.Contains(strings.Join(c.header.Values("Accept"), ","), "fhir")
}

func (s *Server) binaryFile(c *call) (answer, error) {
	typ, _ := typeNamed("Binary")
	found, ok := s.store.find(typ, c.path[1])
	if !ok || found.gone {
		return answer{}, notFound()
	}
	return asFile(found)
}

func asFile(v stored) (answer, error) {
	res, err := fhir.ParseResource(v.raw)
	if err != nil {
		return answer{}, err
	}
	data, err := base64.StdEncoding.DecodeString(res.Root().Get("data").Text())
	if err != nil {
		return answer{}, refuse(http.StatusInternalServerError, "exception", "the stored data is not base64")
	}
	return answer{
		status: http.StatusOK, modified: res.LastUpdated(), header: http.Header{"Etag": {`"` + versionID(res, v.ordinal) + `"`}},
		file: &file{res.Root().Get("contentType").Text(), data},
	}, nil
}

// sendFile writes a file, in parts when asked (RFC 9110 section 14), unless a
// misbehaviour wants the whole.
func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, c *call, a answer) {
	w.Header().Set("Content-Type", a.file.contentType)
	if c.modes.has(WrongType) {
		w.Header().Set("Content-Type", "text/html")
	}
	const broken = Truncate | WrongLength | ShortLength | DropMidBody | Drip
	if c.modes&broken != 0 {
		s.transmit(w, r, a.status, a.file.data, c.modes)
		return
	}
	modified, _ := time.Parse(time.RFC3339, a.modified)
	http.ServeContent(w, r, "", modified, bytes.NewReader(a.file.data))
}
