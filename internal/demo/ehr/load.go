package ehr

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"golang.org/x/sync/errgroup"
)

// Load stores one resource and keeps a copy of its bytes as they are. It may be
// called from several goroutines. References need not lead anywhere; a resource
// loaded twice gets a second version. Refused is only what cannot be served: no
// JSON, duplicate names, no known resourceType, no usable id. Errors hold no
// content.
func (s *Server) Load(raw []byte) error {
	p, err := s.prepare(raw)
	if err != nil {
		return err
	}
	s.store.put(p.typ, p.id, p.raw, p.keys, false)
	return nil
}

// Len gives the number of resources, deleted ones included.
func (s *Server) Len() int { return s.store.size() }

// LoadNDJSON stores the resources of a stream with one JSON object per line and
// says how many there were. All cores read, one stores, so that the order of
// arrival, which is the order of an unsorted search, is that of the stream.
func (s *Server) LoadNDJSON(ctx context.Context, r io.Reader) (int, error) {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	work := make(chan *lines, workers)
	order := make(chan *lines, 2*workers)
	group.Go(func() error {
		defer close(work)
		defer close(order)
		return split(ctx, r, work, order)
	})
	for range workers {
		group.Go(func() error {
			for l := range work {
				l.ready <- s.prepareAll(l)
			}
			return nil
		})
	}
	count := 0
	group.Go(func() error {
		for l := range order {
			if err := <-l.ready; err != nil {
				return err
			}
			for _, p := range l.prepared {
				s.store.put(p.typ, p.id, p.raw, p.keys, false)
			}
			count += len(l.prepared)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return count, nil
}

// lines is a stretch of a stream. A single error, or nil, comes out of ready
// when it has been prepared.
type lines struct {
	first    int
	text     [][]byte
	prepared []prepared
	ready    chan error
}

// prepared is a resource with all that storing it needs.
type prepared struct {
	typ  int
	id   string
	raw  []byte
	keys []uint64
}

// split cuts a stream into stretches and hands each to both channels.
func split(ctx context.Context, r io.Reader, work, order chan<- *lines) error {
	const perStretch = 256
	in := bufio.NewReaderSize(r, 1<<20)
	for line, end := 1, false; !end; {
		l := &lines{first: line, ready: make(chan error, 1)}
		for ; len(l.text) < perStretch && !end; line++ {
			text, err := in.ReadBytes('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("ehr: reading resources: %w", err)
			}
			end = err != nil
			l.text = append(l.text, bytes.TrimSpace(text))
		}
		for _, to := range []chan<- *lines{work, order} {
			select {
			case to <- l:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (s *Server) prepareAll(l *lines) error {
	for i, text := range l.text {
		if len(text) == 0 {
			continue
		}
		p, err := s.prepare(text)
		if err != nil {
			return fmt.Errorf("line %d: %w", l.first+i, err)
		}
		l.prepared = append(l.prepared, p)
	}
	return nil
}

func (s *Server) prepare(raw []byte) (prepared, error) {
	res, typ, err := parseKnown(raw)
	if err != nil {
		return prepared{}, err
	}
	if res.ID() == "" {
		return prepared{}, fmt.Errorf("ehr: a resource of type %s has no id", res.Type())
	}
	return prepared{typ, res.ID(), res.Bytes(), s.store.keysOf(res)}, nil
}

// LoadFiles stores every *.ndjson file at the top of a file system, reports
// each with the number of its resources, and stops at the first error, which
// names file and line.
func (s *Server) LoadFiles(ctx context.Context, files fs.FS, loaded func(name string, resources int)) error {
	names, err := fs.Glob(files, "*.ndjson")
	if err != nil {
		return fmt.Errorf("ehr: listing resources: %w", err)
	}
	if len(names) == 0 {
		return errors.New("ehr: there is no *.ndjson file")
	}
	for _, name := range names {
		f, err := files.Open(name)
		if err != nil {
			return fmt.Errorf("ehr: %w", err)
		}
		count, err := s.LoadNDJSON(ctx, f)
		_ = f.Close() // only read
		if err != nil {
			return fmt.Errorf("ehr: %s: %w", path.Base(name), err)
		}
		if loaded != nil {
			loaded(name, count)
		}
	}
	return nil
}

// parseKnown reads a resource of a type that R4 has.
func parseKnown(raw []byte) (*fhir.Resource, int, error) {
	res, err := fhir.ParseResource(raw)
	if err != nil {
		return nil, 0, fmt.Errorf("ehr: %w", err)
	}
	typ, ok := typeNamed(res.Type())
	if !ok {
		return nil, 0, errors.New("ehr: resourceType is not one of FHIR R4")
	}
	return res, typ, nil
}

// keysOf gives what a resource is listed under: everything it refers to and,
// for people, their identifiers.
func (s *store) keysOf(res *fhir.Resource) []uint64 {
	var keys []uint64
	for reference := range references(res.Root()) {
		if typ, id, ok := target(reference.Text()); ok {
			keys = append(keys, s.key(">"+typ, id))
		}
	}
	if hasIdentifierKey(res.Type()) {
		for value := range res.Root().At("identifier", "value") {
			keys = append(keys, s.identifierKey(res.Type(), value.Text()))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// hasIdentifierKey says whether a type is found by identifier without a scan:
// the people, whom sign-in looks up that way.
func hasIdentifierKey(typ string) bool {
	switch typ {
	case "Patient", "Person", "Practitioner", "RelatedPerson":
		return true
	}
	return false
}

// identifierKey folds case: the key finds candidates, the matcher decides.
func (s *store) identifierKey(typ, value string) uint64 {
	return s.key("#"+typ, strings.ToLower(value))
}

// references walks every Reference.reference below a node, in order.
func references(n fhir.Node) func(yield func(fhir.Node) bool) {
	return func(yield func(fhir.Node) bool) { walkReferences(n, yield) }
}

func walkReferences(n fhir.Node, yield func(fhir.Node) bool) bool {
	for c := range n.Children() {
		if c.IsString() {
			if raw := c.Raw(); len(raw) < 512 && bytes.IndexByte(raw, '/') > 0 && c.Name() == "reference" && !yield(c) {
				return false
			}
			continue
		}
		if !walkReferences(c, yield) {
			return false
		}
	}
	return true
}

// target gives the last type and id of a reference, on whatever host it is:
// as a key that may find too much, never too little.
func target(reference string) (typ, id string, ok bool) {
	reference, _, _ = strings.Cut(reference, "/_history/")
	rest, id, ok := cutLast(reference)
	if !ok {
		return "", "", false
	}
	if _, typ, ok = cutLast(rest); !ok {
		typ = rest
	}
	if _, known := typeNamed(typ); !known || !fhir.ValidID(id) {
		return "", "", false
	}
	return typ, id, true
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}
