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

// reserve is the generic cell rate algorithm by the clock of Redis, so that replicas
// need not agree on the time.
//
//go:embed reserve.lua
var reserve string

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
	return &Redis{client: client, script: redis.NewScript(reserve), key: secret}, nil
}

// Take implements Budget.
func (r *Redis) Take(ctx context.Context, key string, limit rate.Limit) (time.Duration, error) {
	wait, _, err := r.Reserve(ctx, key, limit, 0)
	return wait, err
}

// Reserve implements Budget.
func (r *Redis) Reserve(ctx context.Context, key string, limit rate.Limit, most time.Duration) (time.Duration, bool, error) {
	if limit.None() {
		return 0, true, nil
	}
	cost := max(time.Duration(float64(time.Second)/limit.PerSecond).Microseconds(), 1)
	said, err := r.script.Run(ctx, r.client, []string{r.name(key)}, cost, int64(max(limit.Burst, 1)-1)*cost, most.Microseconds()).Int64Slice()
	if err != nil || len(said) != 2 {
		return 0, false, errors.New("budget: Redis cannot be asked") // the cause could quote the key
	}
	return time.Duration(said[1]) * time.Microsecond, said[0] == 1, nil
}

func (r *Redis) name(key string) string {
	h := hmac.New(sha256.New, r.key)
	h.Write([]byte(key))
	return "portico:budget:" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
