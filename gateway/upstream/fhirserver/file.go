package fhirserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/fetch"
)

// Place is where attachments lie that are not below the FHIR base.
type Place struct {
	Base        fhir.Base // origin and path, compared part by part
	Credentials bool      // whether the upstream's credentials go there too
}

var _ upstream.Opener = (*Server)(nil)

// Open implements upstream.Opener. A redirect is not followed and is no file.
func (s *Server) Open(ctx context.Context, link string, want upstream.FileRequest) (*upstream.File, error) {
	credentials, known := s.reaches(link)
	if !known {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	within, end := context.WithCancel(ctx)
	f, err := s.open(within, ctx, end, link, want, credentials)
	if err != nil {
		end()
	}
	return f, err
}

// reaches says whether a URL may be asked for, and with the credentials or not.
func (s *Server) reaches(link string) (credentials, known bool) {
	if upstream.Within(s.base, link) {
		return true, true
	}
	for _, p := range s.places {
		if upstream.Within(p.Base, link) {
			return p.Credentials, true
		}
	}
	return false, false
}

func (s *Server) open(within, caller context.Context, end context.CancelFunc, link string, want upstream.FileRequest, credentials bool) (*upstream.File, error) {
	req, err := http.NewRequestWithContext(within, http.MethodGet, link, nil)
	if err != nil {
		return nil, fault.Wrap(errors.New("fhirserver: building the request for a file"), fault.NotFound, "Not found.")
	}
	req.Header.Set("User-Agent", "portico")
	req.Header.Set("Accept", "*/*")
	if want.Accept != "" {
		req.Header.Set("Accept", want.Accept)
	}
	if want.Range != "" {
		req.Header.Set("Range", want.Range)
	}
	// Lengths and parts are those of the file itself.
	req.Header.Set("Accept-Encoding", "identity")
	client := s.outside
	if credentials {
		client = s.client
		s.authorize(req)
	}
	resp, err := client.Do(req) //nolint:bodyclose // the body is the File's, whose reader closes it
	if err != nil {
		return nil, transportFault(caller, err)
	}
	body := newBody(resp.Body, s.maxBody, s.timeout, end)
	if err := s.fileFault(resp, want); err != nil {
		return nil, drained(resp, body, err)
	}
	f := &upstream.File{Body: body, ContentType: resp.Header.Get("Content-Type"), Length: resp.ContentLength, ETag: resp.Header.Get("ETag"), LastModified: fetch.LastModified(resp.Header)}
	if resp.StatusCode == http.StatusPartialContent {
		f.ContentRange = resp.Header.Get("Content-Range")
	}
	return f, nil
}

// noRange reads how long a file is from the "bytes */n" that goes with 416
// (RFC 9110 §15.5.17).
func noRange(contentRange string) error {
	length, ok := strings.CutPrefix(strings.TrimSpace(contentRange), "bytes */")
	total, err := strconv.ParseInt(length, 10, 64)
	if !ok || err != nil || total < 0 {
		return upstream.ErrRange
	}
	return upstream.NoRange{Total: total}
}

// fileFault is statusFault for files, of which any type is usable and a part may
// be asked for.
func (s *Server) fileFault(resp *http.Response, want upstream.FileRequest) error {
	const unusable = "The record system gave an unusable answer."
	switch coding := resp.Header.Get("Content-Encoding"); {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && want.Range != "":
		return fault.Wrap(fmt.Errorf("fhirserver: %w", noRange(resp.Header.Get("Content-Range"))), fault.Invalid, "The file has no such range.")
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusNotAcceptable, resp.StatusCode == http.StatusUnauthorized:
		return fault.Wrap(fmt.Errorf("fhirserver: status %d for a file", resp.StatusCode), fault.Unsupported, "The record system does not offer this.")
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent:
		return s.statusFault(resp)
	case coding != "" && !strings.EqualFold(coding, "identity"):
		return fault.Wrap(errors.New("fhirserver: a file in a coding that was not asked for"), fault.Upstream, unusable)
	case resp.StatusCode == http.StatusPartialContent && (want.Range == "" || resp.Header.Get("Content-Range") == ""):
		return fault.Wrap(errors.New("fhirserver: a part that was not asked for"), fault.Upstream, unusable)
	}
	return nil
}
