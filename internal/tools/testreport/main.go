// Command testreport reads what `go test -json` prints and shows it as go test
// does without -v: one closing line for each package, and the output of what
// failed. Beyond that it knows what go test does not: a run in which a test was
// skipped for a reason that may not occur here is a failed run. It knows nothing
// of the tests themselves.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	forbidden := flag.String("forbid-skip", "", "fail when a test was skipped with this text in its message")
	flag.Parse()
	report, err := Read(os.Stdin, os.Stdout)
	if err == nil {
		err = report.Judge(os.Stdout, *forbidden)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}
