package guard_test

import "testing"

func TestOnlyThePatientsOwnProvesThatSomethingIsReached(t *testing.T) {
	const mine = `"subject":{"reference":"Patient/me"}`
	for _, tt := range []struct {
		name, scopes, raw string
		want              bool
	}{
		{"my own", "patient/*.rs", `{"resourceType":"Observation","id":"x",` + mine + `,"device":{"reference":"Device/d"}}`, true},
		{"by an attachment", "patient/*.rs", `{"resourceType":"DocumentReference","id":"x",` + mine + `,"content":[{"attachment":{"url":"Device/d"}}]}`, true},
		{"another device", "patient/*.rs", `{"resourceType":"Observation","id":"x",` + mine + `,"device":{"reference":"Device/e"}}`, false},
		{"another type", "patient/*.rs", `{"resourceType":"Observation","id":"x",` + mine + `,"device":{"reference":"DeviceMetric/d"}}`, false},
		{"at another place", "patient/*.rs", `{"resourceType":"Observation","id":"x",` + mine + `,"device":{"reference":"https://h.example/Device/d"}}`, false},
		{"as a mere text", "patient/*.rs", `{"resourceType":"Observation","id":"x",` + mine + `,"valueString":"Device/d"}`, false},
		{"another's", "patient/*.rs", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/other"},"device":{"reference":"Device/d"}}`, false},
		{"without its scope", "patient/Device.rs", `{"resourceType":"Observation","id":"x",` + mine + `,"device":{"reference":"Device/d"}}`, false},
		{"a directory entry", "patient/*.rs", `{"resourceType":"Practitioner","id":"x","photo":[{"url":"Device/d"}]}`, false},
		{"something reached itself", "patient/*.rs", `{"resourceType":"DeviceMetric","id":"x","source":{"reference":"Device/d"}}`, false},
	} {
		if got := who(t, tt.scopes).ProofOf(resource(t, tt.raw), "Device", "d"); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
