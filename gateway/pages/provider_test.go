package pages_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/pages"
)

func TestProvidersAreLinksOnThisServerOnly(t *testing.T) {
	rec := httptest.NewRecorder()
	err := newPages(t).ChooseProvider(rec, nil, pages.ProviderView{Source: "Lake <b>", Choices: []pages.ProviderChoice{
		{Name: "City login", URL: "/login/start?provider=city&return_to=%2Fx"},
		{Name: "", URL: "/login/start?provider=plain"},
		{Name: "Evil", URL: "//evil.example/login"},
		{Name: "Evil too", URL: "https://evil.example/login"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	body := rec.Body.String()
	for _, want := range []string{
		`<a class="pick" href="/login/start?provider=city&amp;return_to=%2Fx">`, "<bdi>City login</bdi>", "A sign-in service without a name", "Lake &lt;b&gt;",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, "evil") || strings.Contains(body, "<form") {
		t.Errorf("the page leads elsewhere, or has a form:\n%s", body)
	}
}
