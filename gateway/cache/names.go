package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/portico-fhir/portico/internal/seal"
)

// name stands for a key: nobody without the ring can tell what it is the name
// of, or make one.
type name [sha256.Size]byte

func (n name) text() string { return base64.RawURLEncoding.EncodeToString(n[:]) }

// names makes names. Entries are named with the newest key of the ring; epochs
// with each of them, so that replicas whose rings overlap while a key is being
// replaced see one another's invalidations.
type names struct{ keys [][]byte }

func newNames(ring *seal.Ring) (*names, error) {
	keys, err := ring.Derive("cache names")
	if err != nil {
		return nil, err
	}
	return &names{keys}, nil
}

// of names parts with the newest key. Each part's length goes before it, so that
// no two lists give the same bytes.
func (n *names) of(parts ...string) name { return mac(n.keys[0], parts) }

func mac(key []byte, parts []string) name {
	h := hmac.New(sha256.New, key)
	buf := make([]byte, 0, 512)
	for _, p := range parts {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	_, _ = h.Write(buf) // never fails (hash.Hash)
	var out name
	h.Sum(out[:0])
	return out
}
