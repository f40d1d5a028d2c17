package telemetry

import (
	"slices"
	"strings"
	"sync"
)

// words are the closed lists.
type words struct {
	sources []string
	isType  func(string) bool

	mu      sync.RWMutex
	reasons []string // why something was withheld, as met
}

// maxReasons bounds the reasons: they are constants of the code, and the bound
// holds even where one is not.
const maxReasons = 64

var (
	interactions = []string{
		"", "unknown", "read", "vread", "history-instance", "search-type", "search-compartment", "create", "update", "patch", "delete",
		"batch", "$everything", "$docref", "$lastn", "binary", "metadata",
		"authorization_code", "refresh_token", "client_credentials",
	}
	methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
	// kinds are what an upstream is asked.
	kinds        = []string{"read", "vread", "history", "search", "page", "create", "update", "delete", "operation", "file", "metadata", "token"}
	cacheResults = []string{"hit", "stale", "miss", "bypass", "stored", "shared", "refused", "error"}
	cacheTiers   = []string{"memory", "redis", "request"}
	grantTypes   = []string{"authorization_code", "refresh_token", "client_credentials"}
	outcomes     = []string{"released", "refused", "absent", "aborted", "failed", "decided", "explained", "granted"}
	breakers     = []string{"closed", "half-open", "open"}
)

func in(list []string, word string) string {
	if slices.Contains(list, word) {
		return word
	}
	return other
}

// known is in for words that may be left out.
func known(list []string, word string) string {
	if word == "" {
		return ""
	}
	return in(list, word)
}

func (w *words) source(id string) string { return known(w.sources, id) }

func (w *words) typ(name string) string {
	if name == "" || w.isType(name) {
		return name
	}
	return other
}

// reason lets a constant word pass, up to so many of them.
func (w *words) reason(word string) string {
	if word == "" || len(word) > 32 || strings.IndexFunc(word, func(c rune) bool { return c != '-' && (c < 'a' || c > 'z') }) >= 0 {
		return other
	}
	w.mu.RLock()
	met := slices.Contains(w.reasons, word)
	w.mu.RUnlock()
	if met {
		return word
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case slices.Contains(w.reasons, word):
	case len(w.reasons) >= maxReasons:
		return other
	default:
		w.reasons = append(w.reasons, word)
	}
	return word
}

// surface is the part of Portico that a route belongs to.
func surface(route string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(route, "/"), "/")
	switch first {
	case "fhir", "oauth", "login", "static", "ehr", "notify", "livez", "readyz", "metrics":
		return first
	case "logout":
		return "login"
	case ".well-known":
		return "oauth"
	case "apps", "explain", "sources", "cache":
		return "admin"
	}
	return other
}

// class is the status class: 2xx and so on.
func class(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	case 5:
		return "5xx"
	}
	return other
}
