package ehr

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// pageParam carries the token of a page; what is in it is nobody's business but
// this file's.
const pageParam = "_page"

// snapshot is the result of a search, kept while its pages are read: what is
// written meanwhile changes neither the order nor the total. Resources show
// their current version, deleted ones are left out.
type snapshot struct {
	kind  string // Bundle.type
	path  string // address below the base; a token is good there only
	self  string // query of the first page
	rows  []rowRef
	query search.Query
	total int
	size  int
	typ   int    // the type searched
	asked string // the patient asked for, for misbehaving
}

// rowRef is one row: a record, or one version of it when ordinal is not 0.
type rowRef struct {
	record  uint32
	ordinal uint32
	include bool
}

// pages keeps the latest snapshots.
type pages struct {
	mu    sync.Mutex
	byID  map[[16]byte]*snapshot
	order [][16]byte
	rows  int
}

const (
	maxSnapshots    = 4096
	maxSnapshotRows = 16 << 20
)

func newPages() *pages { return &pages{byID: map[[16]byte]*snapshot{}} }

func (p *pages) keep(id [16]byte, snap *snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byID[id] = snap
	p.order = append(p.order, id)
	p.rows += len(snap.rows)
	for len(p.order) > 1 && (len(p.order) > maxSnapshots || p.rows > maxSnapshotRows) {
		p.rows -= len(p.byID[p.order[0]].rows)
		delete(p.byID, p.order[0])
		p.order = p.order[1:]
	}
}

func (p *pages) find(id [16]byte) *snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id]
}

// firstPage answers with the first page and keeps the rest.
func (s *Server) firstPage(c *call, snap *snapshot) (answer, error) {
	snap.size = s.o.PageSize
	if n := snap.query.Count; n >= 0 {
		snap.size = n
	}
	snap.size = min(snap.size, s.o.MaxPage)
	snap.self = c.base + "/" + snap.path
	if snap.kind == "searchset" && snap.query.Type != "" {
		if q := snap.query.Encode(); q != "" {
			snap.self += "?" + q
		}
	} else if c.query != "" {
		snap.self += "?" + c.query
	}
	if snap.query.Summary == "count" || snap.size == 0 { // _count=0 means the same (R4 search, section 3.1.1.5.3)
		b := &bundle{kind: snap.kind, total: snap.total, links: []link{{"self", snap.self}}, typ: snap.typ, asked: snap.asked}
		return answer{status: http.StatusOK, bundle: b}, nil
	}
	var id [16]byte
	if len(snap.rows) > snap.size {
		if _, err := io.ReadFull(s.o.Rand, id[:]); err != nil {
			return answer{}, err
		}
		s.pages.keep(id, snap)
	}
	return s.page(c, snap, id, 0)
}

// nextPage answers with the page that a token names.
func (s *Server) nextPage(c *call, token string) (answer, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 20 {
		return answer{}, refuse(http.StatusBadRequest, "invalid", "the page token is malformed")
	}
	id, offset := [16]byte(raw[:16]), int(binary.BigEndian.Uint32(raw[16:]))
	snap := s.pages.find(id)
	if snap == nil || snap.path != strings.Join(c.path, "/") || offset%snap.size != 0 || offset >= len(snap.rows) {
		return answer{}, refuse(http.StatusGone, "expired", "the page is no longer there; search again")
	}
	return s.page(c, snap, id, offset)
}

func (s *Server) page(c *call, snap *snapshot, id [16]byte, offset int) (answer, error) {
	b := &bundle{kind: snap.kind, total: snap.total, links: s.pageLinks(c, snap, id, offset), typ: snap.typ, asked: snap.asked}
	if snap.query.Total == "none" {
		b.total = -1
	}
	rows := snap.rows[offset:min(offset+snap.size, len(snap.rows))]
	wanted := view{snap.query.Elements, snap.query.Summary}
	var shown []*fhir.Resource
	for _, row := range rows {
		v := s.version(row)
		res, err := fhir.ParseResource(v.raw)
		if err != nil {
			return answer{}, err
		}
		if snap.kind == "history" {
			b.entries = append(b.entries, s.historyEntry(c, res, v))
			continue
		}
		if v.gone {
			continue
		}
		mode := "match"
		if row.include {
			mode = "include"
		}
		shown = append(shown, res)
		b.entries = append(b.entries, bundleEntry{fullURL: fullURL(c, res), resource: wanted.of(res), mode: mode})
	}
	if snap.kind == "searchset" {
		extra, err := s.included(c, snap.query, shown)
		if err != nil {
			return answer{}, err
		}
		for _, res := range extra {
			b.entries = append(b.entries, bundleEntry{fullURL: fullURL(c, res), resource: view{summary: snap.query.Summary}.of(res), mode: "include"})
		}
	}
	s.restriction().plain(c, b)
	return answer{status: http.StatusOK, bundle: b}, nil
}

// version gives what a row stands for.
func (s *Server) version(row rowRef) stored {
	if row.ordinal == 0 {
		return s.store.get(row.record)
	}
	all := s.store.versions(row.record)
	return all[len(all)-int(row.ordinal)]
}

func (s *Server) pageLinks(c *call, snap *snapshot, id [16]byte, offset int) []link {
	address := func(offset int) string {
		if offset == 0 {
			return snap.self
		}
		token := binary.BigEndian.AppendUint32(id[:], uint32(offset)) //nolint:gosec // the offset is within rows
		return c.base + "/" + snap.path + "?" + pageParam + "=" + base64.RawURLEncoding.EncodeToString(token)
	}
	links := []link{{"self", address(offset)}}
	if offset > 0 {
		links = append(links, link{"first", address(0)}, link{"previous", address(offset - snap.size)})
	}
	if next := offset + snap.size; next < len(snap.rows) {
		links = append(links, link{"next", address(next)})
	}
	return links
}

func fullURL(c *call, res *fhir.Resource) string {
	return c.base + "/" + res.Type() + "/" + res.ID()
}
