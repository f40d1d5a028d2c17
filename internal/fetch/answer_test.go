package fetch_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/fetch"
)

func TestRetryAfterIsSecondsOrADateAndOtherwiseNothing(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "99999999999": 0, "1.5": 0,
		"0": 0, "7": 7 * time.Second,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := fetch.RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}
