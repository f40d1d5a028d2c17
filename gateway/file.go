package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/locate"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/httpfile"
	"github.com/portico-fhir/portico/smart/scope"
)

// fileAsk is a request for the bytes of a file.
type fileAsk struct {
	at     locate.Target
	accept string
	want   httpfile.Wants
}

// parseFile understands Binary/_{handle}, and Binary/{id} when it is asked for
// as it is and not as FHIR (R4 Binary, section 2.46.3). is says whether the
// request is one of those; a handle that is asked for as FHIR becomes a read.
func (g *Gateway) parseFile(x *exchange, r *http.Request, segments []string) (is bool, err error) {
	if len(segments) != 2 || segments[0] != "Binary" || !isGet(r) || notAnID(segments[1]) || segments[1] == "_search" {
		return false, nil
	}
	handle, sealed := strings.CutPrefix(segments[1], fileMark)
	raw, err := wantsRaw(r, sealed)
	if err != nil || !sealed && !raw {
		return false, err
	}
	x.ask.Type, x.event.Type = "Binary", "Binary"
	x.ask.Interaction, x.event.Interaction = guard.Read, string(guard.Read)
	x.log.SetInteraction(string(guard.Read))
	at := locate.Target{Place: locate.Stored, Relative: "Binary/" + segments[1], URL: x.src.Base.String() + "/Binary/" + segments[1], Binary: segments[1]}
	if sealed {
		var good bool
		if at, good = g.openHandle(x, handle); !good {
			return true, fault.New(fault.NotFound, "Not found.")
		}
		x.openBinary()
	} else if !fhir.ValidID(segments[1]) {
		return true, fault.New(fault.NotFound, "Not found.")
	}
	x.ask.ID, x.event.ResourceID = at.Binary, at.Binary
	switch {
	case raw:
		x.file = &fileAsk{at: at, accept: strings.Join(r.Header.Values("Accept"), ","), want: httpfile.WantsOf(r)}
	case at.Binary == "":
		return true, fault.New(fault.NotAcceptable, "This file is no FHIR resource: leave Accept out, or ask for its own type.")
	case !strings.Contains(r.URL.RawQuery, "_format"):
		if err := acceptsJSON(r.Header.Values("Accept")); err != nil {
			return true, err
		}
	}
	return true, x.parseReadOptions(r)
}

// openBinary adds the scope for a Binary to those of the token, for a request
// that has the handle of one: the file is part of the resource that it stood in,
// and that must still be found, and be covered by the token's own scopes.
func (x *exchange) openBinary() {
	x.who.Scopes.Resources = append(slices.Clone(x.who.Scopes.Resources), scope.Resource{Level: scope.Patient, Type: "Binary", Access: scope.Read})
}

// serveFile takes the place of steps 4 to 9 for a file: prove that it may be
// read, ask the upstream, record, stream.
func (g *Gateway) serveFile(w http.ResponseWriter, r *http.Request, x *exchange) error {
	f, err := g.openFile(x)
	if err != nil {
		return g.refuse(x, err)
	}
	defer func() { _ = f.Body.Close() }()
	if !httpfile.Accepts(x.file.accept, f.ContentType) {
		return g.refuse(x, fault.New(fault.NotAcceptable, "The file has another type than those in Accept."))
	}
	how := f.Plan(x.file.want)
	if how.Status == http.StatusRequestedRangeNotSatisfiable {
		return g.refuseRange(w, r, x, how.Total)
	}
	x.event.Status, x.counts.released = how.Status, 1
	if err := g.record(x, audit.Released); err != nil {
		return err
	}
	if err := f.Send(w, r, how); err != nil {
		return g.breakOff(x, err)
	}
	return nil
}

// refuseRange answers 416, which has no kind of its own: it is no error of the
// record, and its header says how long the file is.
func (g *Gateway) refuseRange(w http.ResponseWriter, r *http.Request, x *exchange, total int64) error {
	x.event.Status = http.StatusRequestedRangeNotSatisfiable
	if err := g.record(x, audit.Refused); err != nil {
		return err
	}
	if total >= 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", total))
	}
	writeOutcomeStatus(w, r, fault.New(fault.Invalid, "The file has no such range."), http.StatusRequestedRangeNotSatisfiable)
	return nil
}

func (g *Gateway) openFile(x *exchange) (*httpfile.File, error) {
	if x.file.at.Binary != "" {
		return g.openAsBinary(x)
	}
	may, err := g.proveFile(x)
	switch {
	case err != nil:
		return nil, err
	case !may:
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	return g.openRaw(x)
}

// openAsBinary asks for the Binary as a resource, which is judged like any read:
// its securityContext and its labels stand in it. Only one that the upstream has
// in no other form is streamed as it is.
func (g *Gateway) openAsBinary(x *exchange) (*httpfile.File, error) {
	key := "Binary/" + x.file.at.Binary
	if !x.saw("raw "+key, anyType) {
		if err := g.narrow(x); err != nil {
			return nil, err
		}
		for one, err := range g.check(x, g.fetch(x)) {
			if err != nil {
				return nil, err
			}
			return decoded(one.resource)
		}
		if !x.unread {
			return nil, fault.New(fault.NotFound, "Not found.")
		}
	}
	may, err := g.proveReach(x, "Binary", x.file.at.Binary)
	switch {
	case err != nil:
		return nil, err
	case !may, x.who.Covers("Binary", scope.Read) != guard.Whole: // nobody can look into it
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	x.learns("raw "+key, "Binary")
	return g.openRaw(x)
}

// decoded gives the content of a Binary.
func decoded(r *fhir.Resource) (*httpfile.File, error) {
	text := strings.Map(func(c rune) rune {
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' { // R4 datatypes, base64Binary
			return -1
		}
		return c
	}, r.Root().Get("data").Text())
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault.Wrap(errors.New("gateway: a Binary's data is not base64"), fault.Upstream, unusable)
	}
	sum := sha256.Sum256(data)
	f := &httpfile.File{
		Body: io.NopCloser(bytes.NewReader(data)), Total: int64(len(data)), ContentType: r.Root().Get("contentType").Text(),
		ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`,
	}
	if at, err := time.Parse(time.RFC3339Nano, r.LastUpdated()); err == nil {
		f.Modified = at
	}
	return f, nil
}

// proveFile says whether something of the patient's own that may lead to files,
// and that the token may read, has an attachment with this very URL.
func (g *Gateway) proveFile(x *exchange) (bool, error) {
	if x.saw("file "+x.file.at.URL, x.readsAll) {
		return true, nil
	}
	for _, p := range compartment.Of("Binary").Pointers {
		ok, err := g.searchPointer(x, guard.Ask{Interaction: guard.Search, Type: p.Type, Query: search.Query{Type: p.Type, Count: -1}}, x.leadsToFile)
		if err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

func (x *exchange) leadsToFile(r *fhir.Resource) bool {
	if v := x.who.Judge(r); v.Decision != guard.Keep || v.Reason != "own" || !x.who.Leads(r) {
		return false
	}
	found := false
	locate.Attachments(r, func(n, _ fhir.Node) {
		found = found || x.src.where.Locate(n.Text()).URL == x.file.at.URL
	})
	return found
}

// rememberFiles notes the files that a resource leads to, for proveFile, and
// which of them are pages of HTML: an upstream that is not itself answers those.
func (x *exchange) rememberFiles(r *fhir.Resource) {
	locate.Attachments(r, func(n, attachment fhir.Node) {
		at := x.src.where.Locate(n.Text())
		if at.Place != locate.Stored {
			return
		}
		if at.Binary == "" {
			x.sees("file "+at.URL, r.Type())
		}
		if httpfile.Media(attachment.Get("contentType").Text()) == "text/html" {
			x.sees("html "+at.URL, r.Type())
			x.proves("html "+at.URL, true) // for this request, however old the answer is
		}
	})
}

// openRaw asks the upstream for the file as it is. What comes back as FHIR is no
// file: nobody has judged it.
func (g *Gateway) openRaw(x *exchange) (*httpfile.File, error) {
	if x.src.Files == nil {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	accept := x.file.accept
	if accept == "" {
		accept = "*/*"
	}
	got, err := x.trace.Opened(func() (*upstream.File, error) {
		return x.src.Files.Open(x.ctx, x.file.at.URL, upstream.FileRequest{Accept: accept, Range: x.file.want.RangeHeader()})
	})
	switch kind := fault.KindOf(err); {
	case errors.Is(err, upstream.ErrRange):
		length := upstream.NoRange{Total: -1}
		errors.As(err, &length)
		return httpfile.NoSuchRange(length.Total), nil
	case err != nil && kind == fault.Unsupported:
		x.log.Fail(err)
		return nil, fault.New(fault.NotFound, "Not found.")
	case err != nil:
		return nil, err
	}
	html := httpfile.Media(got.ContentType) == "text/html"
	if page := "html " + x.file.at.URL; isFHIR(got.ContentType) || html && !x.proven[page] && !x.saw(page, anyType) {
		_ = got.Body.Close()
		x.log.Fail(errors.New("gateway: the upstream gave FHIR or a page in place of a file"))
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	f := &httpfile.File{Body: got.Body, ContentType: got.ContentType, Total: got.Length, ETag: g.disguised(x, got.ETag), Modified: got.LastModified}
	if got.ContentRange != "" {
		if f.Part, f.Total = httpfile.ParseContentRange(got.ContentRange); f.Part == nil || !f.Part.Answers(x.file.want.Range, f.Total, got.Length) {
			_ = got.Body.Close()
			return nil, fault.Wrap(errors.New("gateway: the upstream gave another part than asked for"), fault.Upstream, unusable)
		}
	}
	return f, nil
}

// disguised is an ETag that changes when the upstream's does and says nothing:
// without the key nobody can try which address it was made of.
func (g *Gateway) disguised(x *exchange, etag string) string {
	if etag == "" {
		return ""
	}
	weak := ""
	if strings.HasPrefix(etag, "W/") {
		weak = "W/"
	}
	sum := sha256.Sum256([]byte(g.files.SealSteady([]byte(x.file.at.URL+"\x00"+etag), x.fileBound()+"\x00etag")))
	return weak + `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}
