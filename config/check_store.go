package config

import (
	"net/url"
	"slices"
	"strings"
)

func (c *Config) checkStore(r *report, env environment) {
	switch {
	case c.Store.Postgres != nil && c.Store.SQLite != "":
		r.add("store.postgres", "cannot stand beside store.sqlite: state is kept in one place; take one of them out")
		return
	case c.Store.Postgres != nil:
		c.Store.Postgres.check(r)
		return
	case c.Store.SQLite == "":
		r.add("store.sqlite", "is missing; name the file that holds grants, sessions and the audit, such as portico.sqlite, or give store.postgres")
		return
	}
	if strings.HasPrefix(c.Store.SQLite, ":") || strings.HasPrefix(c.Store.SQLite, "file:") {
		r.add("store.sqlite", "must be the path of a file: what is promised to be durable cannot live in memory")
		return
	}
	c.Store.SQLite = env.path(c.Store.SQLite)
	if info, err := env.stat(c.Store.SQLite); err == nil && info.IsDir() {
		r.add("store.sqlite", "%s is a folder; name a file in it", c.Store.SQLite)
		return
	}
	dir := dirOf(c.Store.SQLite)
	if info, err := env.stat(dir); err != nil || !info.IsDir() {
		r.add("store.sqlite", "the folder %s does not exist; create it", dir)
	}
}

// check says nothing of what it reads: the URL holds a password.
func (p *Postgres) check(r *report) {
	if p.MaxConnections < 2 || p.MaxConnections > 1000 {
		r.add("store.postgres.max_connections", "must be between 2 and 1000: one is kept for the audit")
	}
	const key = "store.postgres.url"
	if p.URL.IsZero() {
		r.add(key, "is missing; it is postgres://user:password@host:5432/database?sslmode=verify-full, as { file: … } or { env: … }")
		return
	}
	u, err := url.Parse(p.URL.Reveal())
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" || strings.Trim(u.Path, "/") == "" {
		r.add(key, "must be postgres://user:password@host:5432/database?sslmode=verify-full; characters such as @ / %% in the password are written as %%40 %%2F %%25")
		return
	}
	// Without the word the driver would go on in the clear with whoever answers.
	local := u.Host == "" || Loopback(u.Hostname())
	if !local && !slices.Contains([]string{"verify-full", "verify-ca", "require", "disable"}, u.Query().Get("sslmode")) {
		r.add(key, "must say sslmode: verify-full, and sslrootcert with the file of your own authority if there is one; or disable, where nobody else can listen")
	}
}
