package config

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check finds what cannot work although each value by itself reads well.
func (c *Config) check(r *report, env environment) {
	c.checkListener(r, env)
	c.checkStore(r, env)
	c.checkSealKey(r)
	c.checkLimits(r)
	c.checkBudgets(r)
	c.checkProviders(r)
	c.checkSources(r, env)
	c.checkProfiles(r, env)
	c.checkApps(r)
	c.checkCache(r, env)
	c.checkClients(r, env)
	c.checkTelemetry(r)
	oneOf(r, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(r, "log.format", c.Log.Format, "text", "json")
}

// SealKeyBytes gives the 32 bytes of the seal key.
func (c *Config) SealKeyBytes() ([]byte, error) { return sealKey(c.SealKey) }

// OlderSealKeys gives the 32 bytes of each key that sealed before.
func (c *Config) OlderSealKeys() ([][]byte, error) {
	var out [][]byte
	for _, s := range c.SealKeysBefore {
		key, err := sealKey(s)
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	return out, nil
}

func sealKey(s Secret) ([]byte, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(s.Reveal())
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("config: a seal key is not base64 of 32 bytes")
	}
	return key, nil
}

func (c *Config) checkSealKey(r *report) {
	const do = "make one with: openssl rand -base64 32"
	if c.SealKey.IsZero() {
		r.add("seal_key", "is missing; it seals links and cookies; %s", do)
		return
	}
	if _, err := c.SealKeyBytes(); err != nil {
		r.add("seal_key", "must be 32 bytes in base64; %s", do)
	}
	for i, before := range c.SealKeysBefore {
		key := item("seal_keys_before", i)
		if before.IsZero() { // reported while reading
			continue
		}
		if _, err := sealKey(before); err != nil {
			r.add(key, "must be 32 bytes in base64, as seal_key was before it was replaced")
			continue
		}
		same := func(other Secret) bool { return before.Equal(other) }
		if same(c.SealKey) || slices.ContainsFunc(c.SealKeysBefore[:i], same) {
			r.add(key, "is the same key as another one; remove it")
		}
	}
}

func (c *Config) checkLimits(r *report) {
	between(r, "sessions.idle", c.Sessions.Idle, time.Minute, day)
	between(r, "sessions.absolute", c.Sessions.Absolute, 5*time.Minute, 30*day)
	if c.Sessions.Idle > c.Sessions.Absolute {
		r.add("sessions.idle", "is longer than sessions.absolute, so it would never end a session; make it shorter")
	}
	// An access token that lives longer outlives its use; a shorter one makes
	// apps that cannot refresh useless.
	between(r, "tokens.access_lifetime", c.Tokens.AccessLifetime, 5*time.Minute, time.Hour)
	// 45 CFR 170.315(g)(10)(v)(A): not less than three months, which are 92
	// days at most.
	between(r, "tokens.refresh_lifetime", c.Tokens.RefreshLifetime, 92*day, 400*day)
	if c.Tokens.GrantLifetime != 0 {
		between(r, "tokens.grant_lifetime", c.Tokens.GrantLifetime, time.Hour, 3660*day)
	}
}

// between reports a duration outside its bounds.
func between(r *report, key string, v, low, high time.Duration) {
	if v < low || v > high {
		r.add(key, "must be between %s and %s", words(low), words(high))
	}
}

// words prints a duration as one would write it in the file.
func words(d time.Duration) string {
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return d.String()
	}
}

func oneOf(r *report, key, v string, allowed ...string) {
	if !slices.Contains(allowed, v) {
		r.add(key, "must be %s", either(allowed))
	}
}

func either(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// idPattern is what may stand in a URL path and a log line without thought.
var idPattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// ids checks the ids of a list: present, well-formed, each once.
func ids(r *report, list string, n int, id func(int) string, pattern *regexp.Regexp, form string) {
	first := map[string]int{}
	for i := range n {
		key := item(list, i) + ".id"
		switch v := id(i); {
		case v == "":
			r.add(key, "is missing; give each a short name: %s", form)
		case !pattern.MatchString(v):
			r.add(key, "must be %s", form)
		default:
			if j, taken := first[v]; taken {
				r.add(key, "is the id of %s already; choose another", item(list, j))
				continue
			}
			first[v] = i
		}
	}
}

func item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// Loopback says that host, a name or an address without port, is this machine
// whatever the resolver says. An empty host is every interface, not loopback.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && a.Unmap().IsLoopback()
}

// urlRule says what a URL must be.
type urlRule struct {
	insecure bool   // http is allowed
	unless   string // what would allow it, "" for nothing
	path     bool   // may have a path
	slash    bool   // may end with a slash
}

// unlessInsecure ends the sentence "must be https" for keys of a section that
// has a way out.
const unlessInsecure = ", since others could read what passes; or set insecure_plain_http: true beside it"

// checkURL reports what is wrong with a URL, and says whether it is good. The
// comparisons that security rests on are made with these URLs, so there must be
// one way to write each.
func checkURL(r *report, key, value string, rule urlRule) bool {
	fail := func(format string, args ...any) bool {
		r.add(key, format, args...)
		return false
	}
	u, err := url.Parse(value)
	if err != nil || u.Opaque != "" || u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fail("must be a whole URL such as https://fhir.example.org")
	}
	switch {
	case u.User != nil:
		return fail("must not hold a user name or a password")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(value, "#"):
		return fail("must end before ? and #")
	case u.Host != strings.ToLower(u.Host) || !strings.HasPrefix(value, u.Scheme+"://"):
		return fail("must be in lower case up to the path")
	case !validPort(u):
		return fail("has a port that does not exist")
	case u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http":
		return fail("names the default port; leave it out, since URLs are compared as they are written")
	case !rule.path && strings.Trim(u.Path, "/") != "":
		return fail("must have no path: Portico answers from the root of its host")
	case !rule.slash && strings.HasSuffix(value, "/"):
		return fail("must not end with a slash; write %s", strings.TrimRight(value, "/"))
	case odd(u):
		return fail("has a path with empty, dot or escaped parts; write it plainly")
	case u.Scheme == "http" && !Loopback(u.Hostname()) && !rule.insecure:
		return fail("must be https%s", rule.unless)
	}
	return true
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == u.Port()
}

// odd says that a path could be read as another by somebody else.
func odd(u *url.URL) bool {
	p := u.EscapedPath()
	if strings.ContainsAny(p, "%\\;") {
		return true
	}
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(p, "/"), "/"), "/")
	return len(p) > 1 && slices.ContainsFunc(parts, func(s string) bool { return s == "" || s == "." || s == ".." })
}

func isFile(env environment, path string) bool {
	info, err := env.stat(path)
	return err == nil && info.Mode().IsRegular()
}

func dirOf(path string) string {
	i := strings.LastIndexByte(path, os.PathSeparator)
	switch {
	case i < 0:
		return "."
	case i == 0:
		return string(os.PathSeparator)
	default:
		return path[:i]
	}
}
