package gateway

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// conditions are the headers that ask for a resource only if the app does not
// have it yet (RFC 9110 §13.1, R4 http section 3.1.0.1.5).
type conditions struct {
	noneMatch     []string // If-None-Match
	modifiedSince time.Time
}

// readConditions: If-Modified-Since counts only where there is no If-None-Match
// and when it holds a date (RFC 9110 §13.1.3).
func readConditions(r *http.Request) conditions {
	c := conditions{noneMatch: r.Header.Values("If-None-Match")}
	if len(c.noneMatch) > 0 {
		return c
	}
	if since, err := http.ParseTime(r.Header.Get("If-Modified-Since")); err == nil {
		c.modifiedSince = since
	}
	return c
}

// notModified compares tags weakly (RFC 9110 §13.1.2), times by the second. With
// handles in it an answer is never the one that the app has: those may be at
// their end.
func (x *exchange) notModified(p *piece) bool {
	if p.sealed {
		return false
	}
	if len(x.conditions.noneMatch) == 0 {
		at, err := p.modified()
		return err == nil && !x.conditions.modifiedSince.IsZero() && !at.Truncate(time.Second).After(x.conditions.modifiedSince)
	}
	etag := p.etag()
	if etag == "" {
		return false
	}
	return matchesTag(x.conditions.noneMatch, etag)
}

func matchesTag(noneMatch []string, etag string) bool {
	strong := strings.TrimPrefix(etag, "W/")
	return slices.ContainsFunc(strings.Split(strings.Join(noneMatch, ","), ","), func(one string) bool {
		one = strings.TrimSpace(one)
		return one == "*" || etag != "" && strings.TrimPrefix(one, "W/") == strong
	})
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
