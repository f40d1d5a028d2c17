// Package httpfile owns how a file leaves over HTTP: whether the client has it
// already, which part is sent, and with which headers (RFC 9110 §13 and §14). It
// must not know whose file it is, nor whether it may leave.
package httpfile

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// File is one that may leave. Its body must be closed.
type File struct {
	Body        io.ReadCloser
	ContentType string
	Total       int64  // bytes of the whole file, -1 when unknown
	Part        *Range // what of it Body is, when it is a part
	ETag        string
	Modified    time.Time
}

// NoSuchRange is a file of so many bytes, -1 when unknown, of which what was asked
// for does not exist.
func NoSuchRange(total int64) *File {
	return &File{Body: http.NoBody, Total: total, Part: &Range{From: -1}}
}

// Sending is how a file leaves.
type Sending struct {
	Status int   // 200, 206, 304 or 416; the last is for the caller to answer
	Total  int64 // bytes of the whole file, -1 when unknown

	skip   int64  // bytes of the body that are not sent
	length int64  // bytes that are, -1 when unknown
	part   *Range // for 206
}

// Plan decides what of a file is sent (§13.2.2: If-None-Match before
// If-Modified-Since before Range).
func (f *File) Plan(c Wants) Sending {
	switch {
	case f.Part != nil && f.Part.From < 0: // see NoSuchRange
		return Sending{Status: http.StatusRequestedRangeNotSatisfiable, Total: f.Total}
	case c.Unmodified(f.ETag, f.Modified):
		return Sending{Status: http.StatusNotModified}
	case f.Part != nil:
		return Sending{Status: http.StatusPartialContent, length: f.Part.To - f.Part.From + 1, part: f.Part, Total: f.Total}
	case c.Range == nil || f.Total < 0 || c.IfRange != "" && !f.unchanged(c.IfRange):
		return Sending{Status: http.StatusOK, length: f.Total, Total: f.Total}
	}
	s, ok := c.Range.Within(f.Total)
	if !ok {
		return Sending{Status: http.StatusRequestedRangeNotSatisfiable, Total: f.Total}
	}
	return Sending{Status: http.StatusPartialContent, skip: s.From, length: s.To - s.From + 1, part: &s, Total: f.Total}
}

// unchanged evaluates If-Range, which wants a strong validator (§13.1.5).
func (f *File) unchanged(ifRange string) bool {
	if strings.HasPrefix(ifRange, `"`) {
		return ifRange == f.ETag
	}
	at, err := http.ParseTime(ifRange)
	return err == nil && !f.Modified.IsZero() && f.Modified.Truncate(time.Second).Equal(at)
}

// Send streams the file as planned. With an error the connection must be broken:
// a file cut short must not look whole.
func (f *File) Send(w http.ResponseWriter, r *http.Request, how Sending) error {
	header := w.Header()
	setHeader(header, f.ContentType)
	if f.ETag != "" {
		header.Set("ETag", f.ETag)
	}
	if !f.Modified.IsZero() {
		header.Set("Last-Modified", f.Modified.UTC().Format(http.TimeFormat))
	}
	if how.Status == http.StatusNotModified {
		w.WriteHeader(how.Status)
		return nil
	}
	if how.part != nil {
		total := "*"
		if how.Total >= 0 {
			total = strconv.FormatInt(how.Total, 10)
		}
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", how.part.From, how.part.To, total))
	}
	if how.length >= 0 {
		header.Set("Content-Length", strconv.FormatInt(how.length, 10))
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(how.Status)
		return nil
	}
	if err := skip(f.Body, how.skip); err != nil {
		return err
	}
	w.WriteHeader(how.Status)
	return copyFile(w, f.Body, how.length)
}

func skip(from io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	if _, err := io.CopyN(io.Discard, from, n); err != nil {
		return ErrBroken
	}
	return nil
}

// What may keep a file from leaving whole. They say nothing of what either
// connection said.
var (
	ErrBroken = errors.New("httpfile: the file broke off")
	ErrGone   = errors.New("httpfile: the client went away")
)

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
				return ErrGone
			}
			sent += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF) && (length < 0 || sent == length):
			return nil
		case err != nil:
			return ErrBroken
		}
	}
	return nil
}
