package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
)

func TestUsedAssertionsInMemory(t *testing.T) {
	t.Parallel()
	clienttest.RunAssertionStore(t, func(*testing.T) client.AssertionStore { return &clienttest.Used{} })
}

type oneKey struct{ key jose.JSONWebKey }

func (k oneKey) Keys(context.Context, client.Client, string) ([]jose.JSONWebKey, error) {
	return []jose.JSONWebKey{k.key}, nil
}

// FuzzAssertions: what is accepted was signed with the client's key, for this
// server, by that client, and is accepted once.
func FuzzAssertions(f *testing.F) {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES384, Key: jose.JSONWebKey{Key: private, KeyID: "k"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		f.Fatal(err)
	}
	claims := `{"iss":"app","sub":"app","aud":"https://portico.example/oauth/token","exp":1930367467,"jti":"1"}`
	signed, err := signer.Sign([]byte(claims))
	if err != nil {
		f.Fatal(err)
	}
	good, err := signed.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding.EncodeToString
	f.Add(good)
	f.Add(good + "\n")
	f.Add(good + ".")
	f.Add(parts[0] + ".." + parts[2])
	f.Add("..")
	f.Add("")
	for _, header := range []string{
		`{"alg":"none"}`, `{"alg":"ES384","kid":"k","typ":"JWT"}`, `{"alg":"ES384","kid":["k"],"typ":"JWT"}`,
		`{"alg":"RS384","kid":"k","typ":"JWT","jku":"https://x"}`, `{"alg":"ES384","alg":"none"}`, `{"crit":["x"],"alg":"ES384"}`,
	} {
		f.Add(enc([]byte(header)) + "." + parts[1] + "." + parts[2])
	}
	for _, body := range []string{
		`{}`, `null`, `[]`, `{"iss":1}`, `{"iss":"app","ISS":"x"}`, `{"exp":1e400}`, `{"exp":9e18}`, `{"aud":[1]}`, `{"aud":{}}`, "\xff",
	} {
		f.Add(parts[0] + "." + enc([]byte(body)) + "." + parts[2])
	}
	app := client.Client{ID: "app", Auth: client.PrivateKeyJWT}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := client.ReadAssertion(text)
		if err != nil {
			if !errors.Is(err, client.ErrAssertion) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if a.Issuer() == "" {
			t.Fatalf("%q: no issuer", text)
		}
		v, err := client.NewAssertions(client.AssertionOptions{
			Keys: oneKey{jose.JSONWebKey{Key: private.Public(), KeyID: "k"}}, Used: &clienttest.Used{},
			Audiences: []string{"https://portico.example/oauth/token"}, Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Check(t.Context(), app, a); err != nil {
			if !errors.Is(err, client.ErrAssertion) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		got := strings.Split(text, ".")
		raw, err := base64.RawURLEncoding.DecodeString(got[1])
		if err != nil || len(got) != 3 || !json.Valid(raw) || string(raw) != claims {
			t.Fatalf("accepted %q", text)
		}
		if err := v.Check(t.Context(), app, a); !errors.Is(err, client.ErrReplayed) {
			t.Fatalf("accepted twice: %v", err)
		}
	})
}

func TestAssertionsNeedAllTheirParts(t *testing.T) {
	t.Parallel()
	if _, err := client.NewAssertions(client.AssertionOptions{}); err == nil {
		t.Error("made of nothing")
	}
}
