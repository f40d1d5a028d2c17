package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/internal/fault"
)

// span is a part of a file: from up to and with to, or the last -from bytes when
// to is -1 and from negative.
type span struct{ from, to int64 }

// fileConditions are the headers of a request that decide what of a file is sent
// (RFC 9110 §13 and §14).
type fileConditions struct {
	conditions
	rangeOf *span // nil: the whole
	ifRange string
}

func conditionsOf(r *http.Request) fileConditions {
	c := fileConditions{conditions: readConditions(r), ifRange: strings.TrimSpace(r.Header.Get("If-Range"))}
	if r.Method != http.MethodHead { // §14.2: Range is defined for GET
		c.rangeOf = parseRange(r.Header.Values("Range"))
	}
	return c
}

// maxDigits keeps positions far within int64.
const maxDigits = 15

// parseRange reads one range of bytes; anything else, several included, is
// ignored, as §14.2 allows.
func parseRange(headers []string) *span {
	if len(headers) != 1 {
		return nil
	}
	set, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(headers[0])), "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(set), "-")
	if !ok || !dash || first == "" && last == "" {
		return nil
	}
	from, goodFrom := position(first)
	to, goodTo := position(last)
	switch {
	case first == "" && goodTo && to > 0:
		return &span{-to, -1}
	case goodFrom && last == "":
		return &span{from, -1}
	case goodFrom && goodTo && from <= to:
		return &span{from, to}
	}
	return nil
}

func position(s string) (int64, bool) {
	if s == "" || len(s) > maxDigits || strings.Trim(s, "0123456789") != "" {
		return -1, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// passed is the Range header for the upstream. With If-Range it is not known yet
// whether a part may be sent.
func (c fileConditions) passed() string {
	switch s := c.rangeOf; {
	case s == nil || c.ifRange != "":
		return ""
	case s.from < 0:
		return fmt.Sprintf("bytes=%d", s.from)
	case s.to < 0:
		return fmt.Sprintf("bytes=%d-", s.from)
	default:
		return fmt.Sprintf("bytes=%d-%d", s.from, s.to)
	}
}

// within gives the positions that a range means in a file of total bytes; ok is
// false when there are none.
func (s span) within(total int64) (span, bool) {
	switch {
	case s.from < 0:
		s = span{max(0, total+s.from), total - 1}
	case s.to < 0 || s.to >= total:
		s.to = total - 1
	}
	return s, total > 0 && s.from <= s.to
}

// contentRange reads "bytes a-b/n" (§14.4); n may be unknown (-1).
func contentRange(header string) (*span, int64) {
	rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(header)), "bytes ")
	part, size, slash := strings.Cut(rest, "/")
	first, last, dash := strings.Cut(part, "-")
	from, goodFrom := position(first)
	to, goodTo := position(last)
	total, goodTotal := position(size)
	if size == "*" {
		total, goodTotal = -1, true
	}
	if !ok || !slash || !dash || !goodFrom || !goodTo || !goodTotal || from > to || total >= 0 && to >= total {
		return nil, -1
	}
	return &span{from, to}, total
}

// answers says whether a part that the upstream gave is what was asked for and
// has the length it says.
func (s span) answers(asked *span, total, length int64) bool {
	if asked == nil || length >= 0 && length != s.to-s.from+1 {
		return false
	}
	if total >= 0 {
		want, ok := asked.within(total)
		return ok && want == s
	}
	return asked.from == s.from && (asked.to < 0 || s.to <= asked.to)
}

// sending is how a file leaves.
type sending struct {
	status int
	skip   int64 // bytes of the body that are not sent
	length int64 // bytes that are, -1 when unknown
	part   *span // for 206
	total  int64
}

// plan decides what of a file is sent (§13.2.2: If-None-Match before
// If-Modified-Since before Range).
func (f *file) plan(c fileConditions) sending {
	modified := f.modified.Truncate(time.Second)
	switch {
	case f.part != nil && f.part.from < 0: // the upstream's own 416
		return sending{status: http.StatusRequestedRangeNotSatisfiable, total: -1}
	case len(c.noneMatch) > 0 && matchesTag(c.noneMatch, f.etag):
		return sending{status: http.StatusNotModified}
	case len(c.noneMatch) == 0 && !c.modifiedSince.IsZero() && !f.modified.IsZero() && !modified.After(c.modifiedSince):
		return sending{status: http.StatusNotModified}
	case f.part != nil:
		return sending{status: http.StatusPartialContent, length: f.part.to - f.part.from + 1, part: f.part, total: f.total}
	case c.rangeOf == nil || f.total < 0 || c.ifRange != "" && !f.unchanged(c.ifRange):
		return sending{status: http.StatusOK, length: f.total, total: f.total}
	}
	s, ok := c.rangeOf.within(f.total)
	if !ok {
		return sending{status: http.StatusRequestedRangeNotSatisfiable, total: f.total}
	}
	return sending{status: http.StatusPartialContent, skip: s.from, length: s.to - s.from + 1, part: &s, total: f.total}
}

// unchanged evaluates If-Range, which wants a strong validator (§13.1.5).
func (f *file) unchanged(ifRange string) bool {
	if strings.HasPrefix(ifRange, `"`) {
		return ifRange == f.etag
	}
	at, err := http.ParseTime(ifRange)
	return err == nil && !f.modified.IsZero() && f.modified.Truncate(time.Second).Equal(at)
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

// sendFile streams. Whatever keeps it from sending what it announced breaks the
// connection: a file cut short must not look whole.
func (g *Gateway) sendFile(w http.ResponseWriter, r *http.Request, x *exchange, f *file, how sending) error {
	header := w.Header()
	fileHeader(header, f.contentType)
	if f.etag != "" {
		header.Set("ETag", f.etag)
	}
	if !f.modified.IsZero() {
		header.Set("Last-Modified", f.modified.UTC().Format(http.TimeFormat))
	}
	if how.status == http.StatusNotModified {
		w.WriteHeader(how.status)
		return nil
	}
	if how.part != nil {
		total := "*"
		if how.total >= 0 {
			total = strconv.FormatInt(how.total, 10)
		}
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", how.part.from, how.part.to, total))
	}
	if how.length >= 0 {
		header.Set("Content-Length", strconv.FormatInt(how.length, 10))
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(how.status)
		return nil
	}
	if err := skip(f.body, how.skip); err != nil {
		return g.breakOff(x, err)
	}
	w.WriteHeader(how.status)
	if err := copyFile(w, f.body, how.length); err != nil {
		return g.breakOff(x, err)
	}
	return nil
}

func skip(from io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	if _, err := io.CopyN(io.Discard, from, n); err != nil {
		return errBroken
	}
	return nil
}

// errBroken says nothing of what the upstream's connection said.
var errBroken = errors.New("gateway: the upstream's file broke off")

func copyFile(w io.Writer, from io.Reader, length int64) error {
	buffer := make([]byte, 32<<10)
	var sent int64
	for length < 0 || sent < length {
		part := buffer
		if length >= 0 {
			part = buffer[:min(int64(len(buffer)), length-sent)]
		}
		n, err := from.Read(part)
		if n > 0 {
			if _, failed := w.Write(part[:n]); failed != nil {
				return gone(failed)
			}
			sent += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF) && (length < 0 || sent == length):
			return nil
		case err != nil:
			return errBroken
		}
	}
	return nil
}
