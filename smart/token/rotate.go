package token

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	// keyNotice is how long before it signs a new key can be read in the JWKS:
	// twice as long as others may keep that document.
	keyNotice = 10 * time.Minute
	// keyOverlap is how long a retired key stays in the JWKS: longer than any
	// id_token is good, which is as long as an access token.
	keyOverlap = 2 * time.Hour
)

// InUse tells whether the key may sign at now.
func (k Key) InUse(now time.Time) bool { return k.Retired.IsZero() || now.Before(k.Retired) }

// before orders keys in use by when they retire; one that does not is last.
func (k Key) before(o Key) int {
	switch {
	case k.Retired.Equal(o.Retired):
		return k.Created.Compare(o.Created)
	case k.Retired.IsZero():
		return 1
	case o.Retired.IsZero():
		return -1
	}
	return k.Retired.Compare(o.Retired)
}

// Verifies tells whether what the key signed may still be good at now.
func (k Key) Verifies(now time.Time) bool {
	return k.Retired.IsZero() || now.Before(k.Retired.Add(keyOverlap))
}

// Rotation says how to rotate keys.
type Rotation struct {
	Keys KeyStore
	Alg  string
	Now  time.Time
	Rand io.Reader
	// Compromised puts the old keys out of use at once and takes them out of the
	// JWKS: what they signed is good no more.
	Compromised bool
}

// Rotate makes a new key and retires those before it. It says from when the new
// one signs.
func Rotate(ctx context.Context, r Rotation) (Key, time.Time, error) {
	fresh, err := newKey(r.Alg, r.Now, r.Rand)
	if err != nil {
		return Key{}, time.Time{}, err
	}
	retire, from := r.Now.Add(keyNotice), r.Now.Add(keyNotice)
	if r.Compromised {
		retire, from = r.Now.Add(-keyOverlap), r.Now
	}
	if err := r.Keys.RotateKey(ctx, fresh, retire); err != nil {
		return Key{}, time.Time{}, fmt.Errorf("keep a signing key: %w", err)
	}
	return fresh, from, nil
}
