package config

import (
	"net"
	"slices"
	"strconv"
	"time"
)

// Redis is what replicas share beside the store.
type Redis struct {
	Addresses []string `yaml:"addresses"` // host:port: one server, some Sentinels, or some nodes of a Cluster
	Master    string   `yaml:"master"`    // the set that Sentinel watches; empty: no Sentinel
	Cluster   bool     `yaml:"cluster"`
	Username  string   `yaml:"username"`
	Password  Secret   `yaml:"password"`
	TLS       bool     `yaml:"tls"`
	CAFile    string   `yaml:"ca_file"` // in place of the system's authorities; Load makes it usable
	DB        int      `yaml:"db"`
}

// Cache says how long what EHRs answered is kept.
type Cache struct {
	Memory               int           `yaml:"memory"` // MiB
	TTL                  time.Duration `yaml:"ttl"`
	Types                []TypeTTL     `yaml:"types"`
	StaleWhileRevalidate time.Duration `yaml:"stale_while_revalidate"` // 0: not at all
	StaleIfError         time.Duration `yaml:"stale_if_error"`         // 0: not at all
	Refresh              Refresh       `yaml:"refresh"`
}

// TypeTTL is how long answers of one resource type are fresh.
type TypeTTL struct {
	Type string        `yaml:"type"`
	TTL  time.Duration `yaml:"ttl"`
}

// Refresh says what is fetched again before it expires and after a change, before
// anybody asks.
type Refresh struct {
	Active    time.Duration `yaml:"active"`     // what was read so lately; 0: nothing
	PerMinute int           `yaml:"per_minute"` // at one source
}

// SourceCache is what is different at one source.
type SourceCache struct {
	TTL   time.Duration `yaml:"ttl"` // 0: as under cache
	Types []TypeTTL     `yaml:"types"`
}

// Notify lets an EHR say that a record has changed.
type Notify struct {
	Token Secret `yaml:"token"` // the EHR's credential; zero: it cannot
}

// FreshFor is how long an answer of a resource type of a source is fresh: what
// is said of the type at the source, else of the source, else of the type.
func (c *Config) FreshFor(source, typ string) time.Duration {
	if c.Cache == nil {
		return 0
	}
	of := func(list []TypeTTL) time.Duration {
		for _, t := range list {
			if t.Type == typ {
				return t.TTL
			}
		}
		return 0
	}
	for _, s := range c.Sources {
		if s.ID != source {
			continue
		}
		if ttl := of(s.Cache.Types); ttl > 0 {
			return ttl
		}
		if s.Cache.TTL > 0 {
			return s.Cache.TTL
		}
	}
	if ttl := of(c.Cache.Types); ttl > 0 {
		return ttl
	}
	return c.Cache.TTL
}

func (c *Config) fillInCache() {
	if c.Cache == nil {
		return
	}
	if c.Cache.Memory == 0 {
		c.Cache.Memory = 128
	}
	if c.Cache.TTL == 0 {
		c.Cache.TTL = time.Minute
	}
	if c.Cache.Refresh.PerMinute == 0 {
		c.Cache.Refresh.PerMinute = 60
	}
}

// maxFresh bounds how long an answer may be given without asking.
const maxFresh = day

func (c *Config) checkCache(r *report, env environment) {
	c.checkRedis(r, env)
	if c.Cache != nil {
		upTo(r, "cache.memory", c.Cache.Memory, 1<<20)
		between(r, "cache.ttl", c.Cache.TTL, time.Second, maxFresh)
		checkTypeTTLs(r, "cache.types", c.Cache.Types)
		for key, v := range map[string]time.Duration{"cache.stale_while_revalidate": c.Cache.StaleWhileRevalidate, "cache.stale_if_error": c.Cache.StaleIfError} {
			if v != 0 {
				between(r, key, v, time.Second, 7*day)
			}
		}
		if c.Cache.Refresh.Active != 0 {
			between(r, "cache.refresh.active", c.Cache.Refresh.Active, time.Minute, day)
		}
		upTo(r, "cache.refresh.per_minute", c.Cache.Refresh.PerMinute, 10000)
	}
	for i, s := range c.Sources {
		key := item("sources", i) + ".cache"
		if c.Cache == nil && (s.Cache.TTL != 0 || len(s.Cache.Types) > 0) {
			r.add(key, "does nothing without a cache section beside sources; add one, even with ttl alone")
		}
		if s.Cache.TTL != 0 {
			between(r, key+".ttl", s.Cache.TTL, time.Second, maxFresh)
		}
		checkTypeTTLs(r, key+".types", s.Cache.Types)
		token := item("sources", i) + ".notify.token"
		switch {
		case s.Notify.Token.IsZero():
		case len(s.Notify.Token.Reveal()) < minSecret:
			r.add(token, "is too short to be safe; use %d characters or more: openssl rand -base64 32", minSecret)
		case c.Cache == nil:
			r.add(token, "does nothing without a cache section: there is nothing to forget")
		}
	}
}

func checkTypeTTLs(r *report, list string, of []TypeTTL) {
	for i, t := range of {
		key := item(list, i)
		switch {
		case t.Type == "":
			r.add(key+".type", "is missing; name a resource type such as Observation")
		case r.more.Type != nil && !r.more.Type(t.Type):
			r.add(key+".type", "is no resource type of FHIR R4")
		case slices.ContainsFunc(of[:i], func(o TypeTTL) bool { return o.Type == t.Type }):
			r.add(key+".type", "stands there twice; remove one")
		}
		between(r, key+".ttl", t.TTL, time.Second, maxFresh)
	}
}

func (c *Config) checkRedis(r *report, env environment) {
	if c.Redis == nil {
		return
	}
	d := c.Redis
	if len(d.Addresses) == 0 {
		r.add("redis.addresses", "is missing; give the server as host:port, such as 127.0.0.1:6379")
	}
	for i, a := range d.Addresses {
		host, port, err := net.SplitHostPort(a)
		n, numErr := strconv.ParseUint(port, 10, 16)
		switch {
		case a == "": // reported while reading
		case err != nil || host == "" || numErr != nil || n == 0:
			r.add(item("redis.addresses", i), "must be a host and a port, such as 127.0.0.1:6379")
		case !d.TLS && !Loopback(host) && !d.Password.IsZero():
			r.add(item("redis.addresses", i), "is another machine, to which the password would go in the clear; set tls: true")
		}
	}
	switch {
	case d.Master != "" && d.Cluster:
		r.add("redis.cluster", "and master exclude each other: Redis is watched by Sentinel or is a Cluster; remove one")
	case d.Master == "" && !d.Cluster && len(d.Addresses) > 1:
		r.add("redis.addresses", "has several addresses; say master: (they are Sentinels) or cluster: true")
	}
	if d.Cluster && d.DB != 0 {
		r.add("redis.db", "does not exist in a Cluster; remove it")
	}
	if d.CAFile == "" {
		return
	}
	if !d.TLS {
		r.add("redis.ca_file", "does nothing without tls: true")
	}
	if d.CAFile = env.path(d.CAFile); !isFile(env, d.CAFile) {
		r.add("redis.ca_file", "there is no file %s; create it or correct the path", d.CAFile)
	}
}
