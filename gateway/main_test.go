package gateway_test

import (
	"io"
	"log"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// net/http prints the beginning of what an upstream sends too much on the
// standard logger, which here would be records.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("net/http.(*http2ClientConn).readLoop")); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}
