package budget

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portico-fhir/portico/internal/rate"
)

// take is the generic cell rate algorithm by the clock of Redis, so that replicas
// need not agree on the time.
//
//go:embed take.lua
var take string

// minKey is how many secret bytes names in Redis are hidden with.
const minKey = 32

// Redis counts for all replicas that use the same server.
type Redis struct {
	client redis.Scripter
	script *redis.Script
	key    []byte
}

var _ Budget = (*Redis)(nil)

// NewRedis makes a Redis. secret hides keys, which name patients: who reads Redis
// learns nothing of them.
func NewRedis(client redis.Scripter, secret []byte) (*Redis, error) {
	if client == nil || len(secret) < minKey {
		return nil, fmt.Errorf("budget: a client and a secret of %d bytes are required", minKey)
	}
	return &Redis{client: client, script: redis.NewScript(take), key: secret}, nil
}

// Take implements Budget.
func (r *Redis) Take(ctx context.Context, key string, limit rate.Limit) (time.Duration, error) {
	if limit.None() {
		return 0, nil
	}
	interval := time.Duration(float64(time.Second) / limit.PerSecond)
	wait, err := r.script.Run(ctx, r.client, []string{r.name(key)},
		max(interval.Microseconds(), 1), int64(max(limit.Burst, 1)-1)*max(interval.Microseconds(), 1)).Int64()
	if err != nil {
		return 0, errors.New("budget: Redis cannot be asked") // the cause could quote the key
	}
	return time.Duration(wait) * time.Microsecond, nil
}

func (r *Redis) name(key string) string {
	h := hmac.New(sha256.New, r.key)
	h.Write([]byte(key))
	return "portico:budget:" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
