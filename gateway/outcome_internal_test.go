package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// What an app is told of each kind of error, as docs/apps.md says it: the status,
// the code of R4's issue-type, and whether it is told when to try again.
func TestEachErrorHasItsStatusItsCodeAndItsTime(t *testing.T) {
	wait := func(k fault.Kind, d time.Duration) error {
		return &fault.Error{Kind: k, Public: "said", Err: errors.New("secret"), RetryAfter: d}
	}
	for _, tt := range []struct {
		err         error
		status      int
		code, again string
	}{
		{wait(fault.Invalid, 0), 400, "invalid", ""},
		{wait(fault.Unsupported, 0), 400, "not-supported", ""},
		{fault.Wrap(upstream.ErrCostly, fault.Unsupported, "said"), 400, "too-costly", ""},
		{wait(fault.Unauthenticated, 0), 401, "login", ""},
		{wait(fault.Forbidden, 0), 403, "forbidden", ""},
		{wait(fault.NotFound, 0), 404, "not-found", ""},
		{fault.Wrap(errSuppressed, fault.NotFound, "said"), 404, "suppressed", ""},
		{wait(fault.MethodNotAllowed, 0), 405, "not-supported", ""},
		{wait(fault.NotAcceptable, 0), 406, "not-supported", ""},
		{wait(fault.Conflict, 0), 409, "conflict", ""},
		{wait(fault.Precondition, 0), 412, "conflict", ""},
		{fault.Wrap(errSeveral, fault.Precondition, "said"), 412, "multiple-matches", ""},
		{wait(fault.TooLarge, 0), 413, "too-long", ""},
		{wait(fault.UnsupportedMedia, 0), 415, "not-supported", ""},
		{wait(fault.Unprocessable, 0), 422, "business-rule", ""},
		{wait(fault.TooMany, 0), 429, "throttled", "30"},
		{wait(fault.TooMany, 7*time.Second), 429, "throttled", "7"},
		{wait(fault.Upstream, 0), 502, "transient", ""},
		{wait(fault.Unavailable, 0), 503, "transient", "10"},
		{wait(fault.Unavailable, 40*24*time.Hour), 503, "transient", "3600"},
		{wait(fault.UpstreamTimeout, 0), 504, "timeout", ""},
		{wait(fault.Internal, 0), 500, "exception", ""},
		{errors.New("secret"), 500, "exception", ""},
	} {
		w := httptest.NewRecorder()
		writeOutcome(w, httptest.NewRequest(http.MethodGet, "/", nil), tt.err)
		var said struct {
			ResourceType string
			Issue        []struct{ Severity, Code, Diagnostics string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.ResourceType != "OperationOutcome" || len(said.Issue) != 1 {
			t.Fatalf("%v: %v %s", tt.err, err, w.Body)
		}
		got := fmt.Sprint(w.Code, said.Issue[0].Severity, said.Issue[0].Code, w.Header().Get("Retry-After"))
		if want := fmt.Sprint(tt.status, "error", tt.code, tt.again); got != want || tt.status != 500 && said.Issue[0].Diagnostics != "said" {
			t.Errorf("%v: %s %q, want %s", tt.err, got, said.Issue[0].Diagnostics, want)
		}
	}
}
