package httpfile

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Conditions are the headers that ask for a resource only if the client does
// not have it yet (RFC 9110 §13.1, R4 http section 3.1.0.1.5).
type Conditions struct {
	NoneMatch     []string // If-None-Match
	ModifiedSince time.Time
}

// ConditionsOf reads them. If-Modified-Since counts only where there is no If-None-Match
// and when it holds a date (RFC 9110 §13.1.3).
func ConditionsOf(r *http.Request) Conditions {
	c := Conditions{NoneMatch: r.Header.Values("If-None-Match")}
	if len(c.NoneMatch) > 0 {
		return c
	}
	if since, err := http.ParseTime(r.Header.Get("If-Modified-Since")); err == nil {
		c.ModifiedSince = since
	}
	return c
}

// Unmodified says whether the client has what it asks for: tags are compared weakly
// (RFC 9110 §13.1.2), times by the second. at is zero, and etag "", when there is
// none.
func (c Conditions) Unmodified(etag string, at time.Time) bool {
	if len(c.NoneMatch) > 0 {
		return matches(c.NoneMatch, etag)
	}
	return !at.IsZero() && !c.ModifiedSince.IsZero() && !at.Truncate(time.Second).After(c.ModifiedSince)
}

func matches(noneMatch []string, etag string) bool {
	strong := strings.TrimPrefix(etag, "W/")
	return slices.ContainsFunc(strings.Split(strings.Join(noneMatch, ","), ","), func(one string) bool {
		one = strings.TrimSpace(one)
		return one == "*" || etag != "" && strings.TrimPrefix(one, "W/") == strong
	})
}

// Wants are the headers of a request that decide what of a file is sent
// (RFC 9110 §13 and §14).
type Wants struct {
	Conditions
	Range   *Range // nil: the whole, HEAD and what is no single range included
	IfRange string
}

// WantsOf reads them.
func WantsOf(r *http.Request) Wants {
	c := Wants{Conditions: ConditionsOf(r), IfRange: strings.TrimSpace(r.Header.Get("If-Range"))}
	if r.Method != http.MethodHead { // §14.2: Range is defined for GET
		c.Range = parseRange(r.Header.Values("Range"))
	}
	return c
}

// RangeHeader is the Range header for where the file comes from. With If-Range it
// is not known yet whether a part may be sent.
func (c Wants) RangeHeader() string {
	switch s := c.Range; {
	case s == nil || c.IfRange != "":
		return ""
	case s.From < 0:
		return fmt.Sprintf("bytes=%d", s.From)
	case s.To < 0:
		return fmt.Sprintf("bytes=%d-", s.From)
	default:
		return fmt.Sprintf("bytes=%d-%d", s.From, s.To)
	}
}
