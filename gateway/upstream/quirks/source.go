package quirks

import (
	"bufio"
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxNames   = 5000    // files of one folder
	maxFolder  = 8 << 20 // bytes of a folder's index
	together   = 4       // files, and questions of one search, that are asked at once; simple servers queue five connections and drop the sixth
	headOfFile = 4096    // bytes that tell what a file is
)

// source gives entries one by one.
type source struct {
	url   string // of the page, for links that are relative to it
	next  func() (fhir.Entry, error)
	link  func() string // to the next page, known after io.EOF
	total func() int    // of the search, -1 when nobody says; known after io.EOF
	close func()
}

func noLink() string { return "" }

func noTotal() int { return -1 }

// bundle reads a Bundle.
func bundle(r io.Reader, c io.Closer, at string) *source {
	reader := fhir.NewBundleReader(r, maxEntry)
	return &source{
		url: at, link: reader.NextLink, total: reader.Total, close: func() { _ = c.Close() },
		next: func() (fhir.Entry, error) {
			e, err := reader.Next()
			if err != nil && !errors.Is(err, io.EOF) {
				err = broken(err)
			}
			return e, err
		},
	}
}

// broken classifies an answer that cannot be read to its end.
func broken(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return fault.Wrap(err, fault.Upstream, unusable)
}

// one reads a single resource; one that is not there is no entry.
func (r *Reader) one(ctx context.Context, typ, id string) (*source, error) {
	empty := &source{next: func() (fhir.Entry, error) { return fhir.Entry{}, io.EOF }, link: noLink, total: noTotal, close: func() {}}
	answer, err := r.Read(ctx, typ, id)
	if elsewhere(err) {
		return empty, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := whole(answer)
	if err != nil {
		return nil, err
	}
	return entries([]fhir.Entry{e}, ""), nil
}

func entries(list []fhir.Entry, at string) *source {
	i := -1
	return &source{url: at, link: noLink, total: noTotal, close: func() {}, next: func() (fhir.Entry, error) {
		if i++; i >= len(list) {
			return fhir.Entry{}, io.EOF
		}
		return list[i], nil
	}}
}

// whole reads one resource.
func whole(answer *upstream.Answer) (fhir.Entry, error) {
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxEntry+1))
	if err != nil || len(raw) > maxEntry {
		return fhir.Entry{}, fault.Wrap(errors.New("quirks: a resource broke off or is over the limit"), fault.Upstream, unusable)
	}
	var e fhir.Entry
	e.Resource, e.Err = fhir.ParseResource(raw)
	return e, nil
}

// list reads all of a type, from the first of the places that has it. One that
// is nowhere is empty: a server of files has no file for what it has not.
func (r *Reader) list(ctx context.Context, typ, at string) (*source, error) {
	if at != "" {
		answer, err := r.up.Next(ctx, at)
		if err != nil {
			return nil, err
		}
		return r.recognise(ctx, answer, at)
	}
	var worst error
	for _, template := range r.listPaths(typ) {
		path := strings.ReplaceAll(template, "{type}", typ)
		src, err := r.listAt(ctx, typ, path)
		if err == nil {
			r.listed.Store(typ, template)
			return src, nil
		}
		switch kind := fault.KindOf(err); kind {
		case fault.NotFound:
		case fault.Unsupported, fault.Invalid, fault.MethodNotAllowed, fault.Upstream:
			worst = err
		default:
			return nil, err
		}
	}
	if worst != nil {
		return nil, worst
	}
	return entries(nil, ""), nil
}

// listPaths gives where a list may be, first where one was.
func (r *Reader) listPaths(typ string) []string {
	paths := r.profile.Files.List
	if len(paths) == 0 {
		return []string{"{type}"}
	}
	if last, ok := r.listed.Load(typ); ok {
		first, _ := last.(string)
		others := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p == first })
		return append([]string{first}, others...)
	}
	return paths
}

func (r *Reader) listAt(ctx context.Context, typ, path string) (*source, error) {
	at := r.base.String() + "/" + path
	var answer *upstream.Answer
	var err error
	if path == typ {
		answer, err = r.up.Search(ctx, typ, "")
	} else {
		answer, err = r.up.Next(ctx, at)
	}
	if err != nil {
		return nil, err
	}
	return r.recognise(ctx, answer, at)
}

var isBundle = regexp.MustCompile(`"resourceType"\s*:\s*"Bundle"`)

// recognise tells what a list is written as.
func (r *Reader) recognise(ctx context.Context, answer *upstream.Answer, at string) (*source, error) {
	in := bufio.NewReaderSize(answer.Body, headOfFile)
	head, err := in.Peek(headOfFile)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = answer.Body.Close()
		return nil, broken(err)
	}
	text := strings.TrimLeft(string(head), "\ufeff \t\r\n")
	switch {
	case text == "":
		_ = answer.Body.Close()
		return entries(nil, at), nil
	case text[0] == '{' && isBundle.MatchString(text):
		return bundle(in, answer.Body, at), nil
	case text[0] == '{':
		return values(in, answer.Body, at), nil
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(in, maxFolder+1))
	if err != nil || len(raw) > maxFolder {
		return nil, fault.Wrap(errors.New("quirks: a folder's index broke off or is over the limit"), fault.Upstream, unusable)
	}
	var names []string
	var known bool
	if text[0] == '[' {
		names, known = jsonIndex(raw)
	} else {
		names, known = htmlIndex(string(raw))
	}
	if !known {
		return nil, fault.Wrap(upstream.ErrUnreadable, fault.Upstream, unusable)
	}
	if len(names) > maxNames {
		return nil, fault.New(fault.Unsupported, "There are too many files to be searched.")
	}
	return r.folder(ctx, strings.TrimSuffix(at, "/")+"/", names), nil
}

// values reads resources one after the other, as in NDJSON, or the only one.
func values(in io.Reader, c io.Closer, at string) *source {
	meter := fhir.NewMeter(in)
	dec := jsontext.NewDecoder(meter, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var ready []fhir.Entry
	return &source{url: at, link: noLink, total: noTotal, close: func() { _ = c.Close() }, next: func() (fhir.Entry, error) {
		for len(ready) == 0 {
			meter.Allow(maxEntry)
			raw, err := dec.ReadValue()
			if errors.Is(err, io.EOF) {
				return fhir.Entry{}, io.EOF
			}
			if err != nil {
				return fhir.Entry{}, broken(errors.New("quirks: a list of resources cannot be read"))
			}
			ready = unpacked(append([]byte(nil), raw...))
		}
		e := ready[0]
		ready = ready[1:]
		return e, nil
	}}
}

// unpacked gives a resource, or those of a Bundle that did not look like one.
func unpacked(raw []byte) []fhir.Entry {
	var e fhir.Entry
	if e.Resource, e.Err = fhir.ParseResource(raw); e.Err != nil || e.Resource.Type() != "Bundle" {
		return []fhir.Entry{e}
	}
	var all []fhir.Entry
	for n := range e.Resource.Root().At("entry", "resource") {
		var one fhir.Entry
		one.Resource, one.Err = fhir.ParseResource(n.Raw())
		all = append(all, one)
	}
	return all
}
