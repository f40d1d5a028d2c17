package handler_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/handler"
)

func TestOneBearerTokenIsReadAndNothingElse(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		want    string
	}{
		"none":                {nil, ""},
		"empty":               {[]string{""}, ""},
		"two headers":         {[]string{"Bearer a", "Bearer a"}, ""},
		"another scheme":      {[]string{"Basic a"}, ""},
		"no token":            {[]string{"Bearer "}, ""},
		"the scheme alone":    {[]string{"Bearer"}, ""},
		"with blanks":         {[]string{"Bearer a b"}, "a b"},
		"one":                 {[]string{"Bearer a"}, "a"},
		"scheme in any case":  {[]string{"bEARER a"}, "a"},
		"not of another case": {[]string{"Bearer A"}, "A"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		for _, h := range tt.headers {
			r.Header.Add("Authorization", h)
		}
		if got, ok := handler.Bearer(r); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q %t", name, got, ok)
		}
	}
}

func TestRetryAfterIsNeverTooEarly(t *testing.T) {
	for wait, want := range map[time.Duration]string{time.Nanosecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", time.Hour: "3600"} {
		h := http.Header{}
		handler.SetRetryAfter(h, wait)
		if got := h.Get("Retry-After"); got != want {
			t.Errorf("%s: %s", wait, got)
		}
	}
}
