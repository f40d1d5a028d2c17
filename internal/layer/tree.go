// Package layer holds the tree to its own map: which package may import which,
// and how large its parts may grow. It reads import clauses itself, from files
// it opens through os: the result of a child process such as go list would be
// served from the test cache after a forbidden import was added. It knows
// nothing of what the packages do.
package layer

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Tree is a module's Go source, by package folder relative to the module root.
type Tree struct {
	Module   string // module path
	Packages map[string]*Package
}

// Package is one folder with Go files.
type Package struct {
	Path  string // "fhir/search"; "." for the root
	Files []File
}

// File is one Go file.
type File struct {
	Path    string   // relative to the module root, with slashes
	Test    bool     // ends in _test.go
	Imports []string // as written
	Lines   int
	Inits   int // functions called init
}

// Read parses every Go file below root, which holds go.mod. Folders that the go
// tool ignores are left out.
func Read(root string) (*Tree, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod")) //nolint:gosec // the caller names the tree
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	t := &Tree{Packages: map[string]*Package{}}
	for line := range strings.Lines(string(mod)) {
		if path, ok := strings.CutPrefix(line, "module "); ok {
			t.Module = strings.TrimSpace(path)
			break
		}
	}
	if t.Module == "" {
		return nil, errors.New("layer: go.mod names no module")
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && ignored(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" || ignored(d.Name()) {
			return nil
		}
		return t.add(root, path)
	})
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return t, nil
}

func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
		slices.Contains([]string{"testdata", "vendor", "node_modules"}, name)
}

func (t *Tree) add(root, path string) error {
	src, err := os.ReadFile(path) //nolint:gosec // below the tree that the caller names
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	f := File{
		Path:  filepath.ToSlash(relative),
		Test:  strings.HasSuffix(path, "_test.go"),
		Lines: bytes.Count(src, []byte("\n")),
	}
	for _, clause := range parsed.Imports {
		imported, err := strconv.Unquote(clause.Path.Value)
		if err != nil {
			return err
		}
		f.Imports = append(f.Imports, imported)
	}
	for _, declaration := range parsed.Decls {
		fn, ok := declaration.(*ast.FuncDecl)
		if ok && fn.Recv == nil && fn.Name.Name == "init" {
			f.Inits++
		}
	}
	dir := filepath.ToSlash(filepath.Dir(relative))
	if t.Packages[dir] == nil {
		t.Packages[dir] = &Package{Path: dir}
	}
	t.Packages[dir].Files = append(t.Packages[dir].Files, f)
	return nil
}

// own gives the folder of one of the module's own packages.
func (t *Tree) own(imported string) (string, bool) {
	if imported == t.Module {
		return ".", true
	}
	return strings.CutPrefix(imported, t.Module+"/")
}

// reach gives every package of the module that pkg is compiled with, itself
// included, each with the import chain that leads to it.
func (t *Tree) reach(pkg string) map[string][]string {
	chains := map[string][]string{pkg: {pkg}}
	queue := []string{pkg}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if t.Packages[at] == nil {
			continue
		}
		for _, f := range t.Packages[at].Files {
			if f.Test {
				continue
			}
			for _, imported := range f.Imports {
				next, ok := t.own(imported)
				if !ok || chains[next] != nil {
					continue
				}
				chains[next] = append(slices.Clone(chains[at]), next)
				queue = append(queue, next)
			}
		}
	}
	return chains
}
