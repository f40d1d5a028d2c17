// Package seal closes small secrets so that only this server, with the same
// purpose in mind, can open them again: cookies that live for minutes, opaque
// links, columns at rest. It owns the format and the derivation of keys; it
// must not know what is inside or where a sealed value travels.
//
// Format: one byte of format (1), eight bytes of key id, then AES-256-GCM with
// a 96-bit nonce in front, random (SP 800-38D section 8.2.2) or, where the same
// value must look the same, made from what is sealed (steady.go). Everything before
// the nonce is authenticated together with the purpose and the caller's
// additional data. With random nonces a key must be replaced long before it
// has sealed 2^32 values.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// KeySize is the length of a key: 256 random bits.
	KeySize = 32

	format     = 1
	idSize     = 8
	headerSize = 1 + idSize
	overhead   = 12 + 16 // nonce and tag
)

// ErrOpen is all that is said of a value that cannot be opened: an attacker
// learns nothing from the reason.
var ErrOpen = errors.New("seal: the value cannot be opened")

// Ring holds the keys: the newest seals, all open.
type Ring struct {
	keys []key
}

type key struct {
	id     [idSize]byte
	secret [KeySize]byte
}

// NewRing takes the keys, newest first, each of 32 random bytes. The id of a
// key comes from the key itself, so that only the keys need to be kept.
func NewRing(newest []byte, older ...[]byte) (*Ring, error) {
	ring := &Ring{}
	seen := make(map[[idSize]byte]bool)
	for i, secret := range append([][]byte{newest}, older...) {
		if len(secret) != KeySize {
			return nil, fmt.Errorf("seal: key %d has %d bytes, want %d", i+1, len(secret), KeySize)
		}
		k := key{secret: [KeySize]byte(secret)}
		id, err := hkdf.Key(sha256.New, secret, nil, "portico seal 1 key id", idSize)
		if err != nil {
			return nil, fmt.Errorf("seal: key id: %w", err)
		}
		k.id = [idSize]byte(id)
		if seen[k.id] {
			return nil, fmt.Errorf("seal: key %d is there twice", i+1)
		}
		if k.secret == ([KeySize]byte{}) {
			return nil, fmt.Errorf("seal: key %d is all zero", i+1)
		}
		seen[k.id] = true
		ring.keys = append(ring.keys, k)
	}
	return ring, nil
}

// For gives the sealer of one purpose, which has keys of its own (HKDF, RFC
// 5869): what was sealed for another purpose cannot be opened with it.
func (r *Ring) For(purpose string) (*Sealer, error) {
	if r == nil || len(r.keys) == 0 {
		return nil, errors.New("seal: no keys")
	}
	if purpose == "" {
		return nil, errors.New("seal: a purpose is required")
	}
	s := &Sealer{purpose: purpose, newest: r.keys[0].id, aeads: make(map[[idSize]byte]cipher.AEAD, len(r.keys))}
	for i, k := range r.keys {
		sub, err := hkdf.Key(sha256.New, k.secret[:], nil, "portico seal 1 for "+purpose, KeySize)
		if err != nil {
			return nil, fmt.Errorf("seal: derive: %w", err)
		}
		block, err := blockOf(sub)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if s.steady, err = newSteady(block, k.secret[:], purpose); err != nil {
				return nil, err
			}
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("seal: cipher: %w", err)
		}
		s.aeads[k.id] = aead
	}
	return s, nil
}

// Sealer seals and opens for one purpose. It may be used by many goroutines.
type Sealer struct {
	purpose string
	newest  [idSize]byte
	aeads   map[[idSize]byte]cipher.AEAD
	steady  steady // with the newest key
}

// Seal closes plaintext. bound is authenticated and not kept: Open needs the
// same again (the name of a cookie, the id of a row).
func (s *Sealer) Seal(plaintext []byte, bound string) []byte {
	out := make([]byte, headerSize, headerSize+overhead+len(plaintext))
	out[0] = format
	copy(out[1:], s.newest[:])
	//nolint:gosec // G407: this AEAD takes no nonce, it makes a random one
	return s.aeads[s.newest].Seal(out, nil, plaintext, s.additional(out[:headerSize], bound))
}

// Open gives the plaintext of a value sealed with the same purpose and bound,
// otherwise ErrOpen.
func (s *Sealer) Open(sealed []byte, bound string) ([]byte, error) {
	if len(sealed) < headerSize+overhead || sealed[0] != format {
		return nil, ErrOpen
	}
	header := sealed[:headerSize]
	aead, known := s.aeads[[idSize]byte(header[1:])]
	if !known {
		return nil, ErrOpen
	}
	plaintext, err := aead.Open(nil, nil, sealed[headerSize:], s.additional(header, bound))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// additional writes header, purpose and bound so that no two triples give the
// same bytes.
func (s *Sealer) additional(header []byte, bound string) []byte {
	out := make([]byte, 0, len(header)+8+len(s.purpose)+len(bound))
	out = append(out, header...)
	out = binary.BigEndian.AppendUint64(out, uint64(len(s.purpose)))
	out = append(out, s.purpose...)
	return append(out, bound...)
}

// strict refuses a second spelling of the same bytes.
var strict = base64.RawURLEncoding.Strict()

// SealText is Seal in the letters of base64url, for cookies and URLs.
func (s *Sealer) SealText(plaintext []byte, bound string) string {
	return strict.EncodeToString(s.Seal(plaintext, bound))
}

// OpenText opens what SealText closed.
func (s *Sealer) OpenText(sealed, bound string) ([]byte, error) {
	for i := range len(sealed) {
		if sealed[i] == '\r' || sealed[i] == '\n' { // the decoder would skip them
			return nil, ErrOpen
		}
	}
	raw, err := strict.DecodeString(sealed)
	if err != nil {
		return nil, ErrOpen
	}
	return s.Open(raw, bound)
}

// Derive gives keys of 32 bytes for what is not sealed, such as names made with
// HMAC: one for each key of the ring, newest first. Each purpose has its own, and
// none is the key of a Sealer.
func (r *Ring) Derive(purpose string) ([][]byte, error) {
	if r == nil || len(r.keys) == 0 {
		return nil, errors.New("seal: no keys")
	}
	if purpose == "" {
		return nil, errors.New("seal: a purpose is required")
	}
	out := make([][]byte, 0, len(r.keys))
	for _, k := range r.keys {
		sub, err := hkdf.Key(sha256.New, k.secret[:], nil, "portico derive 1 for "+purpose, KeySize)
		if err != nil {
			return nil, fmt.Errorf("seal: derive: %w", err)
		}
		out = append(out, sub)
	}
	return out, nil
}
