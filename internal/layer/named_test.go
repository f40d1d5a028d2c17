package layer_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/layer"
)

// TestTheTestsThatDocumentsNameAreThere: whoever reads that something is tried should
// find what tries it.
func TestTheTestsThatDocumentsNameAreThere(t *testing.T) {
	tree, err := layer.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	defined := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	for _, pkg := range tree.Packages {
		for _, f := range pkg.Files {
			if !f.Test {
				continue
			}
			for _, found := range defined.FindAllStringSubmatch(content(t, f.Path), -1) {
				there[found[1]] = true
			}
		}
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`)
	names := 0
	err = filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".md") {
			return err
		}
		page := strings.TrimPrefix(path, "../../")
		for _, name := range named.FindAllString(content(t, page), -1) {
			if names++; !there[name] {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if names == 0 {
		t.Error("no document names a test: they were not read")
	}
}

// content gives a file of the module.
func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
