package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/token"
)

func TestPushedStore(t *testing.T) { forEachDatabase(t, testPushedStore) }

func testPushedStore(t *testing.T, on database) {
	authztest.RunPushedStore(t, func(t *testing.T) authz.PushedStore { return on.open(t) })
}

func (r *replicas) CreatePushed(ctx context.Context, p authz.Pushed) error {
	return r.next().CreatePushed(ctx, p)
}

func (r *replicas) UsePushed(ctx context.Context, d token.Digest, client string, now time.Time) (authz.Pushed, error) {
	return r.next().UsePushed(ctx, d, client, now)
}

// Two replicas cannot both use up one pushed request.
func TestReplicasOfPushedRequests(t *testing.T) { forEachDatabase(t, testReplicasOfPushedRequests) }

func testReplicasOfPushedRequests(t *testing.T, on database) {
	authztest.RunPushedStore(t, func(t *testing.T) authz.PushedStore { return on.replicas(t) })
}
