package layer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/layer"
)

func TestThisModuleKeepsItsRules(t *testing.T) {
	tree, err := layer.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	if tree.Packages["internal/layer"] == nil || tree.Packages["fhir"] == nil {
		t.Fatal("the tree was not read: packages that are surely there are missing")
	}
	for _, violation := range layer.Portico().Check(tree) {
		t.Error(violation)
	}
}

// rules is a small map with one rule of every kind.
func rules() layer.Rules {
	return layer.Rules{
		Layers: []layer.Layer{
			{Name: "low", Packages: []string{"fhir/**"}},
			{Name: "middle", Packages: []string{"guard", "store"}},
			{Name: "high", Packages: []string{"cmd/**"}},
		},
		Peers: []layer.Edge{{From: "fhir/search", To: "fhir", Why: "a test"}},
		Forbidden: []layer.Forbidden{
			{Who: "guard", What: "net/http", Through: true, Why: "pure"},
			{Who: "fhir/**", What: "cmd/**", Tests: true, Why: "not even tests"},
			{Who: "**", Except: []string{"cmd/**"}, What: "store", Why: "only cmd"},
		},
		MaxLines: 10,
		Together: []layer.Together{{Name: "core", Parts: []string{"guard", "fhir/fhir.go"}, Max: 8, Why: "one sitting"}},
	}
}

// clean is a tree that keeps rules().
func clean() map[string]string {
	return map[string]string{
		"go.mod":                 "module example.org/m\n\ngo 1.26\n",
		"fhir/fhir.go":           "package fhir\n",
		"fhir/search/search.go":  "package search\n\nimport _ \"example.org/m/fhir\"\n",
		"guard/guard.go":         "package guard\n\nimport _ \"example.org/m/fhir/search\"\n",
		"guard/guard_test.go":    "package guard\n\nimport _ \"net/http\"\n",
		"store/store.go":         "package store\n",
		"cmd/m/main.go":          "package main\n\nimport _ \"example.org/m/store\"\n\nfunc main() {}\n",
		"cmd/testdata/broken.go": "this is not Go",
		"node_modules/x/x.go":    "package x\n\nimport _ \"example.org/m/cmd/m\"\n",
	}
}

func TestViolationsAreFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant map[string]string
		want  string // "" when the tree is clean
	}{
		{"a clean tree", nil, ""},
		{"a package without a layer", map[string]string{"util/util.go": "package util\n"}, "util: has no layer"},
		{"an import upwards", map[string]string{"fhir/up.go": "package fhir\n\nimport _ \"example.org/m/guard\"\n"}, "fhir/up.go: imports guard, which lies above it"},
		{"an import upwards under another name", map[string]string{"fhir/up.go": "package fhir\n\nimport (\n\tg \"example.org/m/guard\"\n)\n\nvar _ = g.X\n"}, "fhir/up.go: imports guard"},
		{"an import upwards with a raw string", map[string]string{"fhir/up.go": "package fhir\n\nimport _ `example.org/m/guard`\n"}, "fhir/up.go: imports guard"},
		{"an import upwards behind a build tag", map[string]string{"fhir/up.go": "//go:build windows\n\npackage fhir\n\nimport _ \"example.org/m/guard\"\n"}, "fhir/up.go: imports guard"},
		{"a peer without a line", map[string]string{"store/peer.go": "package store\n\nimport _ \"example.org/m/guard\"\n"}, "store/peer.go: imports guard of its own layer"},
		{"a peer in the wrong direction", map[string]string{"fhir/peer.go": "package fhir\n\nimport _ \"example.org/m/fhir/search\"\n"}, "fhir/peer.go: imports fhir/search of its own layer"},
		{"a forbidden import", map[string]string{"guard/http.go": "package guard\n\nimport _ \"net/http\"\n"}, "guard/http.go: imports net/http: pure"},
		{"a forbidden import through another package", map[string]string{"fhir/http.go": "package fhir\n\nimport _ \"net/http\"\n"}, "guard: imports net/http through fhir/search and fhir: pure"},
		{"a forbidden import of a test", map[string]string{"fhir/x_test.go": "package fhir\n\nimport _ \"example.org/m/cmd/m\"\n"}, "fhir/x_test.go: imports example.org/m/cmd/m: not even tests"},
		{"an import reserved for cmd", map[string]string{"guard/s.go": "package guard\n\nimport _ \"example.org/m/store\"\n"}, "guard/s.go: imports example.org/m/store: only cmd"},
		{"an init function", map[string]string{"fhir/init.go": "package fhir\n\nfunc init() {}\n"}, "fhir/init.go: has an init function"},
		{"a method called init is none", map[string]string{"fhir/init.go": "package fhir\n\ntype T int\n\nfunc (T) init() {}\n"}, ""},
		{"a file that is too long", map[string]string{"store/long.go": "package store\n" + strings.Repeat("\n", 10)}, "store/long.go: has 11 lines; 10 at most"},
		{"a core that is too large", map[string]string{"guard/more.go": "package guard\n" + strings.Repeat("\n", 5)}, "core: 10 lines together, 8 at most"},
		{"tests do not count for the core", map[string]string{"guard/more_test.go": "package guard\n" + strings.Repeat("\n", 5)}, ""},
		{"a line of the map that names nothing", map[string]string{"store/store.go": ""}, "names store, which does not exist"},
		{"a peer line that nobody uses", map[string]string{"fhir/search/search.go": "package search\n"}, "peers allows fhir/search to import fhir, which it does not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := clean()
			for path, src := range c.plant {
				files[path] = src
			}
			found := rules().Check(read(t, files))
			if c.want == "" && len(found) > 0 {
				t.Errorf("a clean tree was refused: %q", found)
			}
			if c.want != "" && !strings.Contains(strings.Join(found, "\n"), c.want) {
				t.Errorf("found %q, not %q", found, c.want)
			}
		})
	}
}

// Each rule of the real map must be able to fail: a line with a typing error in
// it would hold nothing.
func TestEveryForbiddenImportOfThisModuleIsFoundWhenPlanted(t *testing.T) {
	here, err := layer.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	outside := map[string]bool{"net/http": true, "database/sql": true, "encoding/json": true}
	for _, rule := range layer.Portico().Forbidden {
		who, what := planted(rule.Who), planted(rule.What)
		if here.Packages[what] == nil && what == rule.What && !outside[what] {
			t.Errorf("%s must not import %s: there is no such package", rule.Who, rule.What)
		}
		if !outside[what] {
			what = "example.org/m/" + what
		}
		found := layer.Rules{
			Layers:    []layer.Layer{{Name: "all", Packages: []string{"**"}}},
			Forbidden: []layer.Forbidden{rule},
			MaxLines:  500,
		}.Check(read(t, map[string]string{
			"go.mod":            "module example.org/m\n",
			who + "/planted.go": "package planted\n\nimport _ \"" + what + "\"\n",
		}))
		if !strings.Contains(strings.Join(found, "\n"), rule.Why) {
			t.Errorf("%s importing %s was not found: %q", who, what, found)
		}
	}
}

// planted gives a folder that a pattern matches.
func planted(pattern string) string {
	return strings.ReplaceAll(strings.ReplaceAll(pattern, "**", "planted"), "*", "a")
}

func read(t *testing.T, files map[string]string) *layer.Tree {
	t.Helper()
	root := t.TempDir()
	for path, src := range files {
		if src == "" {
			continue
		}
		path = filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := layer.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
