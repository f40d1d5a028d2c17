package token_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

// clockwork is a signer with a clock that the test moves.
func clockwork(t *testing.T, keys token.KeyStore) (*token.Signer, *time.Time) {
	t.Helper()
	at := now()
	s, err := token.NewSigner(t.Context(), token.SignerOptions{Keys: keys, Now: func() time.Time { return at }, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return s, &at
}

func sign(t *testing.T, s *token.Signer, alg string) (text, kid string) {
	t.Helper()
	text, err := s.SignIDToken(t.Context(), claims(), alg)
	if err != nil {
		t.Fatal(err)
	}
	kid, _ = verify(t, s, text)
	return text, kid
}

func has(t *testing.T, s *token.Signer, kid string) bool {
	t.Helper()
	set, err := s.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(set.Key(kid)) == 1
}

func TestRotationAnnouncesTheNewKeyAndKeepsTheOldOneForWhatItSigned(t *testing.T) {
	t.Parallel()
	keys := tokentest.NewMemory()
	s, at := clockwork(t, keys)
	for _, alg := range token.Algorithms() {
		_, old := sign(t, s, alg)
		fresh, from, err := token.Rotate(t.Context(), token.Rotation{Keys: keys, Alg: alg, Now: *at, Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		// Announced, and not used yet: others may have read the JWKS just now.
		if _, kid := sign(t, s, alg); kid != old || !has(t, s, fresh.ID) {
			t.Errorf("%s: at once %s signs, new key in the JWKS: %v", alg, kid, has(t, s, fresh.ID))
		}
		*at = from.Add(-time.Second)
		last, kid := sign(t, s, alg)
		if kid != old {
			t.Errorf("%s: before its time", alg)
		}
		*at = from
		if _, kid := sign(t, s, alg); kid != fresh.ID {
			t.Errorf("%s: the new key does not sign", alg)
		}
		// The last id_token of the old key is good for an hour.
		*at = from.Add(time.Hour)
		if kid, _ := verify(t, s, last); kid != old {
			t.Errorf("%s: verified by %s", alg, kid)
		}
		*at = from.Add(2 * time.Hour)
		if has(t, s, old) || !has(t, s, fresh.ID) {
			t.Errorf("%s: the old key is still there, or the new one is not", alg)
		}
	}
}

func TestCompromisedKeysGoAtOnce(t *testing.T) {
	t.Parallel()
	keys := tokentest.NewMemory()
	s, at := clockwork(t, keys)
	_, first := sign(t, s, "")
	waiting, _, err := token.Rotate(t.Context(), token.Rotation{Keys: keys, Alg: token.RS256, Now: *at, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	fresh, from, err := token.Rotate(t.Context(), token.Rotation{Keys: keys, Alg: token.RS256, Now: *at, Rand: rand.Reader, Compromised: true})
	if err != nil || !from.Equal(*at) {
		t.Fatalf("from %s: %v", from, err)
	}
	if _, kid := sign(t, s, ""); kid != fresh.ID || has(t, s, first) || has(t, s, waiting.ID) {
		t.Errorf("%s signs; the old ones are there: %v %v", kid, has(t, s, first), has(t, s, waiting.ID))
	}
	if _, kid := sign(t, s, token.ES256); kid == "" {
		t.Error("the key of the other algorithm is gone")
	}
}

func TestNoKeysForOtherAlgorithms(t *testing.T) {
	t.Parallel()
	keys := tokentest.NewMemory()
	s, at := clockwork(t, keys)
	if _, err := s.SignIDToken(context.Background(), claims(), "HS256"); err == nil {
		t.Error("signed with HS256")
	}
	if _, _, err := token.Rotate(t.Context(), token.Rotation{Keys: keys, Alg: "none", Now: *at, Rand: rand.Reader}); err == nil {
		t.Error("a key for none")
	}
}
