package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// steady seals with a nonce that is computed from what is sealed, so that the
// same plaintext for the same bound gives the same bytes: links that are
// compared. It tells whoever sees two values whether they are the same, which
// is its purpose, and nothing else. A nonce of 96 bits from HMAC-SHA256 comes
// twice for two plaintexts once in about 2^48 of them (SP 800-38D section 8.3
// asks for less than 2^-32 over the life of a key: replace it before 2^32).
type steady struct {
	aead cipher.AEAD
	mac  [KeySize]byte
}

func newSteady(block cipher.Block, secret []byte, purpose string) (steady, error) {
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return steady{}, fmt.Errorf("seal: cipher: %w", err)
	}
	mac, err := hkdf.Key(sha256.New, secret, nil, "portico seal 1 steady nonce for "+purpose, KeySize)
	if err != nil {
		return steady{}, fmt.Errorf("seal: derive: %w", err)
	}
	return steady{aead, [KeySize]byte(mac)}, nil
}

// SealSteady is SealText with the same result each time, for as long as the
// newest key is the same. OpenText opens it. A purpose should use either this
// or Seal, so that its key serves one way of making nonces.
func (s *Sealer) SealSteady(plaintext []byte, bound string) string {
	out := make([]byte, headerSize, headerSize+overhead+len(plaintext))
	out[0] = format
	copy(out[1:], s.newest[:])
	additional := s.additional(out[:headerSize], bound)
	k := s.steady
	mac := hmac.New(sha256.New, k.mac[:])
	_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(additional))))
	_, _ = mac.Write(additional)
	_, _ = mac.Write(plaintext)
	nonce := mac.Sum(nil)[:k.aead.NonceSize()]
	out = append(out, nonce...)
	return strict.EncodeToString(k.aead.Seal(out, nonce, plaintext, additional))
}

func blockOf(sub []byte) (cipher.Block, error) {
	block, err := aes.NewCipher(sub)
	if err != nil {
		return nil, fmt.Errorf("seal: cipher: %w", err)
	}
	return block, nil
}
