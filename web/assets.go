package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// asset is one file, kept in memory with what its headers need.
type asset struct {
	name  string
	body  []byte
	media string
	etag  string
}

// Assets serves the files of a file system under their own names (revalidated
// by ETag) and under names that carry a digest of the content (kept for ever).
// It lists no directories and answers nothing that was not there at start.
type Assets struct {
	prefix string
	byPath map[string]asset  // request path below prefix -> file, both names
	hashed map[string]string // file name -> name with digest
}

// NewAssets reads every file of fsys. The prefix is the path they are served
// under, with a slash at both ends. An unknown file ending is an error: nothing
// may be left to a browser's guess.
func NewAssets(fsys fs.FS, prefix string) (*Assets, error) {
	if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") {
		return nil, fmt.Errorf("web: prefix %q must begin and end with a slash", prefix)
	}
	a := &Assets{prefix: prefix, byPath: map[string]asset{}, hashed: map[string]string{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return a.add(fsys, name)
	})
	if err != nil {
		return nil, fmt.Errorf("web: reading static files: %w", err)
	}
	return a, nil
}

func (a *Assets) add(fsys fs.FS, name string) error {
	media, ok := mediaType(path.Ext(name))
	if !ok {
		return fmt.Errorf("no media type for %s", name)
	}
	body, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:8])
	f := asset{name: name, body: body, media: media, etag: `"` + digest + `"`}
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "." + digest + ext
	a.byPath[name] = f
	a.byPath[hashed] = f
	a.hashed[name] = hashed
	return nil
}

// URL gives the path of a file under its digest name, or "" when there is no
// such file.
func (a *Assets) URL(name string) string {
	h, ok := a.hashed[name]
	if !ok {
		return ""
	}
	return a.prefix + h
}

// ServeHTTP answers GET and HEAD.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, below := strings.CutPrefix(r.URL.Path, a.prefix)
	f, ok := a.byPath[name]
	if !below || !ok {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("ETag", f.etag)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if name == f.name {
		h.Set("Cache-Control", "no-cache")
	} else {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if matches(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	if r.Method == http.MethodHead {
		return
	}
	// The client hanging up is no event worth a log line.
	_, _ = w.Write(f.body)
}

// matches is If-None-Match with weak comparison (RFC 9110 section 13.1.2).
func matches(header, etag string) bool {
	for _, t := range strings.Split(header, ",") {
		t = strings.TrimPrefix(strings.TrimSpace(t), "W/")
		if t == "*" || t == etag {
			return true
		}
	}
	return false
}

// mediaType is a closed list; the mime package would ask the operating system.
func mediaType(ext string) (string, bool) {
	switch ext {
	case ".html":
		return "text/html; charset=utf-8", true
	case ".css":
		return "text/css; charset=utf-8", true
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	case ".json":
		return "application/json", true
	case ".txt", ".md":
		return "text/plain; charset=utf-8", true
	}
	return "", false
}
