package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/smart-2.2.md names files, functions and tests: each must be there, under
// that name.
func TestTheSMARTPageNamesWhatExists(t *testing.T) {
	const root = "../.."
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, dir := range []string{"cmd", "config", "fhir", "gateway", "internal", "smart"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() == "node_modules" {
				return fs.SkipDir
			}
			if !strings.HasSuffix(path, "_test.go") {
				return nil
			}
			code, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, name := range declared.FindAllSubmatch(code, -1) {
				tests[string(name[1])] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(root + "/docs/smart-2.2.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllSubmatch(page, -1)
	if len(named) < 100 {
		t.Errorf("%d tests are named", len(named))
	}
	for _, name := range named {
		if !tests[string(name[1])] {
			t.Errorf("there is no test %s", name[1])
		}
	}
	// `file.go` `one`, `two`
	places := regexp.MustCompile("`([a-z0-9_/]+\\.go)`((?:,? `\\w+`)*)").FindAllSubmatch(page, -1)
	if len(places) < 60 {
		t.Errorf("%d places are named", len(places))
	}
	for _, place := range places {
		code, err := os.ReadFile(filepath.Join(root, string(place[1])))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(string(place[2]), -1) {
			if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + name + `\(`).Match(code) {
				t.Errorf("%s has no function %s", place[1], name)
			}
		}
	}
}
