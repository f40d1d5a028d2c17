package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/idp"
)

const (
	pairApp      = "http://localhost:4711/cb"
	pairVerifier = "verifier-verifier-verifier-verifier-verifier"

	northSays = "north-launch-north-launch-north-launch"
	southSays = "south-launch-south-launch-south-launch"
)

const pairConfig = `
public_url: %[1]s
listen: 127.0.0.1:8080
store: {sqlite: p.sqlite}
seal_key: {env: PAIR_SEAL}
identity_providers:
  - {id: one, issuer: "%[2]s", client_id: portico, client_secret: {env: PAIR_SECRET}}
sources:
  - id: north
    name: North Hospital
    fhir_base: %[3]s/fhir
    ehr_launch: {token: {env: PAIR_NORTH}}
    step_up: [{scopes: [patient/Condition.rs], amr: [pwd]}]
  - id: south
    name: South Hospital
    fhir_base: %[4]s/fhir
    ehr_launch: {token: {env: PAIR_SOUTH}}
    step_up: [{scopes: [patient/Condition.rs], amr: [hwk]}]
clients:
  - {id: app, name: The app, type: public, redirect_uris: ["` + pairApp + `"], launch_uris: ["http://localhost:4711/launch"]}
`

// startPair is Portico over two hospitals that know one person: under the same id
// in both, and in each for another child.
func startPair(t *testing.T) (public string) {
	t.Helper()
	var bases []any
	for _, name := range []string{"north", "south"} {
		at := ehr.New(ehr.Options{})
		for _, raw := range []string{
			fmt.Sprintf(`{"resourceType":"Patient","id":"p","name":[{"text":"Ann of %s"}]}`, name),
			fmt.Sprintf(`{"resourceType":"Patient","id":"%[1]s-child","name":[{"text":"Child of %[1]s"}]}`, name),
			fmt.Sprintf(`{"resourceType":"RelatedPerson","id":"r","active":true,"patient":{"reference":"Patient/%s-child"}}`, name),
		} {
			if err := at.Load([]byte(raw)); err != nil {
				t.Fatal(err)
			}
		}
		s := httptest.NewServer(at)
		t.Cleanup(s.Close)
		bases = append(bases, s.URL)
	}
	front, people := &later{}, &later{}
	portico, provider := httptest.NewServer(front), httptest.NewServer(people)
	t.Cleanup(portico.Close)
	t.Cleanup(provider.Close)
	public = strings.Replace(portico.URL, "127.0.0.1", "localhost", 1)
	var err error
	people.Handler, err = idp.New(idp.Options{
		Issuer:  provider.URL,
		People:  []idp.Person{{Login: "ann", Password: "demo", Name: "Ann", Email: "ann@example.org", Story: "A person.", FHIRUser: []string{"Patient/p", "RelatedPerson/r"}}},
		Clients: []idp.Client{{ID: "portico", Secret: "provider-secret-0123456789abcdef", RedirectURIs: []string{public + "/login/callback"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"PAIR_SEAL": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "PAIR_SECRET": "provider-secret-0123456789abcdef", "PAIR_NORTH": northSays, "PAIR_SOUTH": southSays} {
		t.Setenv(name, value)
	}
	path := filepath.Join(t.TempDir(), "portico.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, pairConfig, append([]any{public, provider.URL}, bases...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadWith(path, checks())
	if err != nil {
		t.Fatal(err)
	}
	a, err := build(t.Context(), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	front.Handler = a.Handler
	return public
}

// asksAt opens the authorization endpoint for a source.
func asksAt(b *browser, public, source, scopes string, more ...string) *browser {
	b.t.Helper()
	q := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {pairApp}, "scope": {scopes}, "state": {"0123456789"},
		"aud": {public + "/fhir/" + source}, "code_challenge": {oauth2.S256ChallengeFromVerifier(pairVerifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return b.do(http.MethodGet, public+"/oauth/authorize?"+q.Encode(), nil)
}

// choosing picks a person on the page that asks whose record it is.
func (b *browser) choosing(patient string) *browser {
	return b.submit("patient", func(v url.Values) { v.Set("patient", patient) })
}

func TestPeopleChooseAmongTheirRecordsAtThatSourceAndSeeItsApps(t *testing.T) {
	public := startPair(t)
	b := newBrowser(t, pairApp)
	asksAt(b, public, "north", "launch/patient patient/Patient.rs offline_access").signIn("ann")
	for i, source := range []string{"north", "south"} {
		other := []string{"south", "north"}[i]
		if i > 0 {
			asksAt(b, public, source, "launch/patient patient/Patient.rs offline_access")
		}
		title := strings.ToUpper(source[:1]) + source[1:]
		for _, want := range []string{title + " Hospital", "Ann of " + source, "Child of " + source} {
			if !strings.Contains(b.body, want) {
				t.Errorf("%s: no %q on the page:\n%s", source, want, b.body)
			}
		}
		if strings.Contains(b.body, "of "+other) || strings.Contains(b.body, other+"-child") {
			t.Errorf("%s: people of %s are on the page:\n%s", source, other, b.body)
		}
		if source == "north" {
			code := b.choosing("p").allow().arrived().Get("code")
			form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {pairApp}, "client_id": {"app"}, "code_verifier": {pairVerifier}}
			resp, err := http.PostForm(public+"/oauth/token", form)
			if err != nil {
				t.Fatal(err)
			}
			if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
				t.Fatalf("no token: %d", resp.StatusCode)
			}
		}
	}
	// A record of the other hospital cannot be chosen by its id.
	if b.choosing("north-child"); b.last.StatusCode < 400 && strings.Contains(b.body, `name="decision"`) {
		t.Errorf("north's child was chosen at south: %d", b.last.StatusCode)
	}
	// The app is connected at north and nowhere else.
	if b.do(http.MethodGet, public+"/oauth/connected?source=north", nil); !strings.Contains(b.body, "North Hospital") || !grantField.MatchString(b.body) {
		t.Errorf("at north:\n%s", b.body)
	}
	if b.do(http.MethodGet, public+"/oauth/connected?source=south", nil); grantField.MatchString(b.body) || !strings.Contains(b.body, "South Hospital") {
		t.Errorf("at south:\n%s", b.body)
	}
}

func TestALaunchOfOneSourceOpensNothingAtAnother(t *testing.T) {
	public := startPair(t)
	launch := func(token string) string {
		status, body := ask(t, http.MethodPost, public+"/ehr/launch", token, `{"patient":"p"}`, "Content-Type", "application/json")
		var said struct{ Launch, Iss string }
		if err := json.Unmarshal([]byte(body), &said); err != nil || status != http.StatusCreated {
			t.Fatalf("%d %s", status, body)
		}
		if want := map[string]string{northSays: "north", southSays: "south"}[token]; said.Iss != public+"/fhir/"+want {
			t.Errorf("the token of %s launched at %s", want, said.Iss)
		}
		return said.Launch
	}
	const scopes = "launch patient/Patient.rs"
	b := newBrowser(t, pairApp)
	if code := asksAt(b, public, "north", scopes, "launch", launch(northSays)).signIn("ann").allow().arrived().Get("code"); code == "" {
		t.Fatal("a launch does not work where it is from, so this shows nothing")
	}
	for source, token := range map[string]string{"south": northSays, "north": southSays} {
		back := asksAt(b, public, source, scopes, "launch", launch(token)).arrived()
		if back.Get("error") == "" || back.Get("code") != "" {
			t.Errorf("a launch from elsewhere at %s: %v", source, back)
		}
	}
}

func TestStepUpAtOneSourceIsNoneAtAnother(t *testing.T) {
	public := startPair(t)
	const scopes = "launch/patient patient/Condition.rs"
	b := newBrowser(t, pairApp)
	if code := asksAt(b, public, "north", scopes).signIn("ann").choosing("p").allow().arrived().Get("code"); code == "" {
		t.Fatal("not even at north")
	}
	// Without the scope that wants more, the same session will do at south.
	if asksAt(b, public, "south", "launch/patient patient/Patient.rs"); !strings.Contains(b.body, `name="patient"`) {
		t.Errorf("at south, for less: %d\n%s", b.last.StatusCode, b.body)
	}
	asksAt(b, public, "south", scopes)
	if strings.Contains(b.body, `name="password"`) {
		b.signIn("ann") // the provider is asked for more, and can do no better
	}
	if strings.Contains(b.body, `name="decision"`) || strings.Contains(b.body, `name="patient"`) {
		t.Errorf("north's step-up was enough for south:\n%s", b.body)
	}
}
