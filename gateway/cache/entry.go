package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/gateway/upstream"
)

// entry is one answer of an upstream, whole.
type entry struct {
	body     []byte // never changed
	etag     string
	modified time.Time // zero when the upstream did not say
	fetched  time.Time // when it was asked for: the answer is not older than that
}

func (e *entry) answer() *upstream.Answer {
	return &upstream.Answer{Body: io.NopCloser(bytes.NewReader(e.body)), ETag: e.etag, LastModified: e.modified}
}

// entryFormat is the first byte of an entry in Redis.
const entryFormat = 1

var errEntry = errors.New("cache: not an entry")

// encode writes format, fetched and modified in nanoseconds (0: absent), the
// length of etag, etag and the body.
func (e *entry) encode() []byte {
	out := make([]byte, 0, 1+8+8+4+len(e.etag)+len(e.body))
	out = append(out, entryFormat)
	out = binary.BigEndian.AppendUint64(out, stamp(e.fetched))
	out = binary.BigEndian.AppendUint64(out, stamp(e.modified))
	out = binary.BigEndian.AppendUint32(out, uint32(len(e.etag))) //nolint:gosec // a header is far below 4 GiB
	out = append(out, e.etag...)
	return append(out, e.body...)
}

func decodeEntry(raw []byte) (*entry, error) {
	if len(raw) < 21 || raw[0] != entryFormat {
		return nil, errEntry
	}
	n := int64(binary.BigEndian.Uint32(raw[17:]))
	if n > int64(len(raw)-21) {
		return nil, errEntry
	}
	e := &entry{
		fetched: unstamp(binary.BigEndian.Uint64(raw[1:])), modified: unstamp(binary.BigEndian.Uint64(raw[9:])),
		etag: string(raw[21 : 21+n]), body: raw[21+n:],
	}
	if e.fetched.IsZero() {
		return nil, errEntry
	}
	return e, nil
}

func stamp(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

func unstamp(v uint64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(v)) //nolint:gosec // see stamp
}

// whole says whether body is one complete JSON object of a resource type: typ,
// or anything but an OperationOutcome when typ is "". A server that breaks off
// in the middle and ends the transfer properly must not be believed for as long
// as an entry lasts.
func whole(body []byte, typ string) bool {
	// What is malformed inside is judged each time it is read.
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	found := ""
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if t.String() != "resourceType" || d.PeekKind() != '"' {
			if d.SkipValue() != nil {
				return false
			}
			continue
		}
		v, err := d.ReadToken()
		if err != nil {
			return false
		}
		found = v.String()
	}
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return false
	}
	if typ == "" {
		return found != "" && found != "OperationOutcome"
	}
	return found == typ
}
