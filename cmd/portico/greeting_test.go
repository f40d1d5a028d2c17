package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/demo/records"
)

func TestTheDemoSaysWhereToClickAndAsWhom(t *testing.T) {
	cast := &records.Cast{}
	for _, login := range []string{"alice", "a-login-that-is-long"} {
		cast.People = append(cast.People, records.Person{Login: login, Password: "pass-of-" + login, Name: "Name of " + login, Story: "Story of " + login})
	}
	var out bytes.Buffer
	demoGreeting(&out, demoOptions{}, &demoPorts{host: "localhost", ports: [4]int{9000, 9001, 9002, 9003}}, cast, 4711)
	for _, want := range []string{
		"http://localhost:9000/fhir/demo", "http://localhost:9001/fhir", "http://localhost:9002", "http://localhost:9003", "4711",
		"Connect", "alice", "pass-of-alice", "Name of alice", "Story of alice", "a-login-that-is-long", "pass-of-a-login-that-is-long", demoOwnApp,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
	for range 20 {
		cast.People = append(cast.People, records.Person{Login: "more"})
	}
	out.Reset()
	demoGreeting(&out, demoOptions{}, &demoPorts{host: "localhost"}, cast, 1)
	if !strings.Contains(out.String(), "and 10 more") {
		t.Errorf("a long cast:\n%s", out.String())
	}
}

func TestTheDemoTellsAPorticoOfYourOwnHowToUseIt(t *testing.T) {
	var out bytes.Buffer
	demoGreeting(&out, demoOptions{portico: "http://localhost:9080"}, &demoPorts{host: "localhost", ports: [4]int{9000, 9001, 9002, 9003}}, &records.Cast{}, 1)
	for _, want := range []string{"The Portico at http://localhost:9080", "fhir_base http://localhost:9001/fhir", "issuer http://localhost:9002", "client_id " + demoOwnPortico, "client_secret " + demoOwnSecret} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
}
