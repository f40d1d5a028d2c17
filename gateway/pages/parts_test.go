package pages_test

import (
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

// Sub-categories come with their own words and numbers, start ticked, and are
// sent back under their own name.
func TestPartsCountsAndEndsAreDrawn(t *testing.T) {
	const labs = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
	v := consentView()
	v.Scopes = []authz.ScopeView{
		{Value: "offline_access"},
		{Value: "patient/Observation.rs", Type: "Observation", Read: true, Count: authz.Count{Known: true, N: 1234}, Parts: []authz.PartView{
			{Value: labs, Count: authz.Count{Known: true, N: 1}},
			{Value: "patient/Observation.rs?category=http://x|unheard-of", Count: authz.Count{Known: true}},
		}},
		{Value: "patient/Condition.rs", Type: "Condition", Read: true},
		{Value: "patient/*.rs", Type: "*", Read: true, Rest: true},
	}
	v.Ends = []authz.EndView{{Value: "1-day", At: now.Add(24 * time.Hour)}, {Value: "longest"}}
	body := text(t, consent(t, v))
	for _, want := range []string{
		`name="part" value="` + labs + `" checked`, `1234 entries.`, `1 entry.`, `Nothing there now.`, `>Lab results<`,
		`<summary>Choose parts of it<span class="vh">: Lab results and vital signs</span>`,
		`Everything else`, `The app asks for the whole record`,
		`<select id="until" name="until"`, `<option value="1-day">In about 24 hours (23 November 2026)</option>`, `<option value="longest" selected>`,
		`name="scope" value="offline_access" checked`, `You choose, below`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Count(body, "<summary>Choose parts") != 1 {
		t.Error("kinds without parts can be opened")
	}
	v.NothingChosen = true
	again := text(t, consent(t, v))
	if strings.Count(again, " checked") != 2 {
		t.Error("on the second try every kind must be unticked, and its parts ticked, so that ticking a kind means all of it")
	}
}
