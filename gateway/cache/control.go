package cache

import (
	"strconv"
	"strings"
	"time"
)

// Control is what an app asks of caches (RFC 9111 §5.2.1). Directives that are
// not here are not known, and so ignored.
type Control struct {
	NoCache      bool // the upstream is asked
	NoStore      bool // and what it says is not kept
	OnlyIfCached bool // the upstream is not asked
	HasMaxAge    bool
	MaxAge       time.Duration // of what is given
}

// maxDelta is the largest number of seconds that is told apart (RFC 9111 §1.2.2).
const maxDelta = 1 << 31

// ParseControl reads the Cache-Control headers of a request and, without any,
// Pragma. A max-age that cannot be read asks for nothing old at all (§4.2.1).
func ParseControl(control, pragma []string) Control {
	var c Control
	for _, one := range strings.Split(strings.Join(control, ","), ",") {
		word, value, _ := strings.Cut(strings.TrimSpace(one), "=")
		switch strings.ToLower(strings.TrimSpace(word)) {
		case "no-cache":
			c.NoCache = true
		case "no-store":
			c.NoStore = true
		case "only-if-cached":
			c.OnlyIfCached = true
		case "max-age":
			age := seconds(value)
			if !c.HasMaxAge || age < c.MaxAge {
				c.MaxAge = age
			}
			c.HasMaxAge = true
		}
	}
	if len(control) == 0 {
		for _, one := range strings.Split(strings.Join(pragma, ","), ",") {
			c.NoCache = c.NoCache || strings.EqualFold(strings.TrimSpace(one), "no-cache") // §5.4
		}
	}
	return c
}

func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(text), `"`), 10, 63)
	if err != nil {
		return -1
	}
	return time.Duration(min(n, maxDelta)) * time.Second
}

// accepts says whether something of an age may be given without asking.
func (c Control) accepts(age time.Duration) bool {
	return !c.NoCache && !c.NoStore && (!c.HasMaxAge || age <= c.MaxAge)
}
