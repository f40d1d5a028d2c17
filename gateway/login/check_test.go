package login_test

import "testing"

func TestAProviderThatGoesAwayIsNoticedThoughItsDocumentIsKept(t *testing.T) {
	s, p := withFake(t, nil, nil)
	if err := s.party.Check(t.Context(), "fake"); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if s.party.Check(t.Context(), "fake") == nil {
		t.Error("nobody answers and nothing is said")
	}
}
