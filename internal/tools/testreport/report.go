package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of `go test -json` (go doc test2json, and `go help
// buildjson` for what the compiler says).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

// Report is what a run came to.
type Report struct {
	Packages int
	Passed   int
	Failed   []string // packages, and tests as package.Test
	Skipped  []Skip
}

// Skip is a test that did not run, and what it said.
type Skip struct {
	Test   string
	Reason string
}

// Read follows a run and prints what a reader wants of it as it happens.
func Read(in io.Reader, out io.Writer) (*Report, error) {
	r := &reader{out: out, said: map[string][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if e := r.line(line); e != nil {
				return nil, e
			}
		}
		if errors.Is(err, io.EOF) {
			return &r.report, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the run: %w", err)
		}
	}
}

type reader struct {
	out    io.Writer
	said   map[string][]string // output of tests that have not ended
	report Report
}

func (r *reader) line(line []byte) error {
	var e event
	if json.Unmarshal(line, &e) != nil {
		// go itself may speak before or between the events.
		_, err := r.out.Write(line)
		return err
	}
	key := e.Package + "." + e.Test
	switch e.Action {
	case "output":
		if e.Test == "" {
			return r.packageLine(e.Output)
		}
		r.said[key] = append(r.said[key], e.Output)
	case "build-output":
		_, err := io.WriteString(r.out, e.Output)
		return err
	case "build-fail":
		r.report.Failed = append(r.report.Failed, e.ImportPath+" (build)")
	case "pass", "skip", "fail":
		return r.end(e, key)
	}
	return nil
}

// packageLine prints the lines that go test prints without -v.
func (r *reader) packageLine(line string) error {
	if line == "PASS\n" {
		return nil
	}
	_, err := io.WriteString(r.out, line)
	return err
}

func (r *reader) end(e event, key string) error {
	said := r.said[key]
	delete(r.said, key)
	if e.Test == "" {
		r.report.Packages++
		if e.Action == "fail" {
			r.report.Failed = append(r.report.Failed, e.Package)
			return r.unfinished(e.Package)
		}
		return nil
	}
	switch e.Action {
	case "pass":
		r.report.Passed++
	case "skip":
		r.report.Skipped = append(r.report.Skipped, Skip{key, reason(said)})
	case "fail":
		r.report.Failed = append(r.report.Failed, key)
		_, err := io.WriteString(r.out, strings.Join(said, ""))
		return err
	}
	return nil
}

// unfinished prints what tests of a package said that never came to an end: a
// panic, a deadlock, a timeout.
func (r *reader) unfinished(pkg string) error {
	var keys []string
	for key := range r.said {
		if strings.HasPrefix(key, pkg+".") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if _, err := io.WriteString(r.out, strings.Join(r.said[key], "")); err != nil {
			return err
		}
		delete(r.said, key)
	}
	return nil
}

// reason is what a test said apart from the marks go test puts around it.
func reason(said []string) string {
	var parts []string
	for _, line := range said {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "=== ") || strings.HasPrefix(trimmed, "--- ") {
			continue
		}
		parts = append(parts, trimmed)
	}
	return strings.Join(parts, " ")
}

// Judge prints the sum of the run and says why it is not good, if it is not.
func (r *Report) Judge(out io.Writer, forbiddenSkip string) error {
	var forbidden int
	for _, s := range r.Skipped {
		if _, err := fmt.Fprintf(out, "skipped: %s: %s\n", s.Test, s.Reason); err != nil {
			return err
		}
		if forbiddenSkip != "" && strings.Contains(s.Reason, forbiddenSkip) {
			forbidden++
		}
	}
	if _, err := fmt.Fprintf(out, "%d packages, %d tests passed, %d skipped, %d failed\n",
		r.Packages, r.Passed, len(r.Skipped), len(r.Failed)); err != nil {
		return err
	}
	switch {
	case len(r.Failed) > 0:
		return fmt.Errorf("failed: %s", strings.Join(r.Failed, ", "))
	case forbidden > 0:
		return fmt.Errorf("%d tests were skipped that must run here (%q)", forbidden, forbiddenSkip)
	case r.Passed == 0:
		return errors.New("no test ran")
	}
	return nil
}
