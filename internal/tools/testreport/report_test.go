package main

import (
	"strings"
	"testing"
)

func TestRunIsGoodOnlyWhenEverythingThatMustRunHasRun(t *testing.T) {
	const (
		passed  = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
		skipped = `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}` + "\n" + `{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: needs make test\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestB"}` + "\n"
		other   = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:3: no sample records here\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
		failed  = `{"Action":"output","Package":"p","Test":"TestD","Output":"    d_test.go:7: got 1, want 2\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestD"}` + "\n"
		panics  = `{"Action":"output","Package":"p","Test":"TestE","Output":"panic: boom\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
		build   = `{"ImportPath":"q","Action":"build-output","Output":"q.go:1: syntax error\n"}` + "\n" + `{"ImportPath":"q","Action":"build-fail"}` + "\n"
	)
	for _, c := range []struct {
		name, in, wantErr, wantOut string
	}{
		{"a failed test is shown and named", failed + passed, "p.TestD", "got 1, want 2"},
		{"a panic without an end is shown", panics + passed, "failed: p", "panic: boom"},
		{"a package that does not build is shown", build + passed, "q (build)", "syntax error"},
		{"a skip for a missing service is a failure", skipped + passed, "skipped that must run", "p.TestB"},
		{"nothing at all is a failure", "", "no test ran", "0 packages"},
		{"another skip is named and allowed", other + passed, "", "no sample records here"},
		{"a good run ends with go test's line", passed, "", "ok  \tp\t0.1s"},
		{"what is no event is passed on", "go: downloading x\n" + passed, "", "go: downloading x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			report, err := Read(strings.NewReader(c.in), &out)
			if err == nil {
				err = report.Judge(&out, "needs make test")
			}
			if c.wantErr == "" && err != nil {
				t.Errorf("unexpected error: %v", err)
			}
			if c.wantErr != "" && (err == nil || !strings.Contains(err.Error(), c.wantErr)) {
				t.Errorf("error %v does not say %q", err, c.wantErr)
			}
			if !strings.Contains(out.String(), c.wantOut) {
				t.Errorf("output %q does not hold %q", out.String(), c.wantOut)
			}
		})
	}
}
