package gateway

import (
	"strings"
	"time"
)

// notModified says whether the app has what it asks for. With handles in it an
// answer is never the one that the app has: those may be at their end.
func (x *exchange) notModified(p *piece) bool {
	etag := p.etag()
	if p.sealed || etag == "" && len(x.conditions.NoneMatch) > 0 {
		return false
	}
	at, _ := p.modified() // zero when there is none
	return x.conditions.Unmodified(etag, at)
}

// etag follows R4 http section 3.1.0.1: the version, weak.
func (p *piece) etag() string {
	if p.version == "" || strings.ContainsAny(p.version, "\"\\\r\n") {
		return ""
	}
	return `W/"` + p.version + `"`
}

// modified is when the version was made, by the resource's own word.
func (p *piece) modified() (time.Time, error) { return time.Parse(time.RFC3339Nano, p.updated) }
