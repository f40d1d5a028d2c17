package ehr

import (
	"bytes"
	"net/http"
	"strconv"
)

// bundle is a Bundle that the server is about to write. Its resources are
// bytes and stay so.
type bundle struct {
	kind    string // Bundle.type
	total   int    // -1 for none
	links   []link
	entries []bundleEntry

	typ   int // the type searched and the patient asked for, for misbehaving
	asked string
}

type link struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// bundleEntry is one entry; what is empty is not written.
type bundleEntry struct {
	fullURL  string
	resource []byte
	mode     string // search.mode
	method   string // request.method, for history
	url      string // request.url
	response *entryResponse
}

// entryResponse is Bundle.entry.response.
type entryResponse struct {
	status   int
	location string
	etag     string
	modified string
	outcome  []byte
}

// render writes the bundle.
func (b *bundle) render() []byte {
	size := 512
	for i := range b.entries {
		size += len(b.entries[i].resource) + 256
	}
	out := bytes.NewBuffer(make([]byte, 0, size))
	out.WriteString(`{"resourceType":"Bundle","type":`)
	out.Write(encode(b.kind))
	if b.total >= 0 {
		out.WriteString(`,"total":`)
		out.WriteString(strconv.Itoa(b.total))
	}
	if len(b.links) > 0 {
		out.WriteString(`,"link":`)
		out.Write(encode(b.links))
	}
	for i := range b.entries {
		if i == 0 {
			out.WriteString(`,"entry":[`)
		} else {
			out.WriteByte(',')
		}
		b.entries[i].render(out)
	}
	if len(b.entries) > 0 {
		out.WriteByte(']')
	}
	out.WriteByte('}')
	return out.Bytes()
}

func (e *bundleEntry) render(out *bytes.Buffer) {
	out.WriteByte('{')
	first := true
	member := func(name string, value []byte) {
		if !first {
			out.WriteByte(',')
		}
		first = false
		out.Write(encode(name))
		out.WriteByte(':')
		out.Write(value)
	}
	if e.fullURL != "" {
		member("fullUrl", encode(e.fullURL))
	}
	if e.resource != nil {
		member("resource", e.resource)
	}
	if e.mode != "" {
		member("search", encode(map[string]string{"mode": e.mode}))
	}
	if e.method != "" {
		member("request", encode(map[string]string{"method": e.method, "url": e.url}))
	}
	if e.response != nil {
		member("response", e.response.encode())
	}
	out.WriteByte('}')
}

func (r *entryResponse) encode() []byte {
	var out bytes.Buffer
	out.WriteString(`{"status":`)
	out.Write(encode(strconv.Itoa(r.status) + " " + http.StatusText(r.status)))
	for _, m := range []struct{ name, value string }{{"location", r.location}, {"etag", r.etag}, {"lastModified", r.modified}} {
		if m.value != "" {
			out.WriteString(`,"` + m.name + `":`)
			out.Write(encode(m.value))
		}
	}
	if r.outcome != nil {
		out.WriteString(`,"outcome":`)
		out.Write(r.outcome)
	}
	out.WriteByte('}')
	return out.Bytes()
}
