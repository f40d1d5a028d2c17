package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-jose/go-jose/v4"
)

// The limits of a set of keys.
const (
	maxJWKS    = 64 << 10
	maxKeys    = 20
	minRSABits = 2048
	maxRSABits = 8192 // to verify with more would take long on purpose
)

// ParseJWKS reads a set of public signing keys (RFC 7517 §5). Keys of a type
// that is not used here, or for encryption, are left out as RFC 7517 §5 asks.
// A private or a symmetric key spoils the set: whoever published it lost it.
func ParseJWKS(text []byte) ([]jose.JSONWebKey, error) {
	if len(text) > maxJWKS {
		return nil, errors.New("the key set is too large")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
		return nil, errors.New(`it is not a JWK set: {"keys": [...]}`)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	seen := map[[2]string]bool{}
	var out []jose.JSONWebKey
	for i, raw := range set.Keys {
		key, kty, err := parseKey(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if kty == "" {
			continue
		}
		// SMART App Launch 2.2, "Signature Verification": kid and kty must
		// identify one key.
		if seen[[2]string{key.KeyID, kty}] {
			return nil, fmt.Errorf("key %d: another one has the same kid and kty", i+1)
		}
		seen[[2]string{key.KeyID, kty}] = true
		out = append(out, key)
	}
	if len(out) == 0 {
		return nil, errors.New("the key set has no RSA or EC signing key")
	}
	return out, nil
}

// parseKey gives a key and its kty, "" for one that is of no use here.
func parseKey(raw json.RawMessage) (jose.JSONWebKey, string, error) {
	var head struct {
		Type  string          `json:"kty"`
		Use   string          `json:"use"`
		Curve string          `json:"crv"`
		Ops   []string        `json:"key_ops"`
		D     json.RawMessage `json:"d"`
		K     json.RawMessage `json:"k"`
		KeyID string          `json:"kid"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return jose.JSONWebKey{}, "", errors.New("it is not a JWK")
	}
	if head.D != nil || head.K != nil || head.Type == "oct" {
		return jose.JSONWebKey{}, "", errors.New("it is a private key: it must not be shown to anybody; make a new one and give the public part")
	}
	if (head.Type != "RSA" && head.Type != "EC") || (head.Use != "" && head.Use != "sig") {
		return jose.JSONWebKey{}, "", nil
	}
	if head.Type == "EC" && head.Curve != "P-256" && head.Curve != "P-384" && head.Curve != "P-521" {
		return jose.JSONWebKey{}, "", nil
	}
	if head.KeyID == "" {
		// SMART App Launch 2.2: the kid of the assertion names the key.
		return jose.JSONWebKey{}, "", errors.New("it has no kid")
	}
	var key jose.JSONWebKey
	if err := json.Unmarshal(raw, &key); err != nil || !key.Valid() {
		return jose.JSONWebKey{}, "", errors.New("it is not a valid public key")
	}
	return key, head.Type, checkKey(key)
}

func checkKey(key jose.JSONWebKey) error {
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("its modulus has %d bits; 2048 to 8192 are taken", bits)
		}
		if k.E < 3 || big.NewInt(int64(k.E)).Bit(0) == 0 {
			return errors.New("its exponent cannot be right")
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return errors.New("its curve is not taken")
		}
	default:
		return errors.New("it is not a public key")
	}
	return nil
}

func withKID(keys []jose.JSONWebKey, kid string) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, k := range keys {
		if k.KeyID == kid {
			out = append(out, k)
		}
	}
	return out
}
