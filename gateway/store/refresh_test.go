package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestRefreshStore(t *testing.T) {
	tokentest.RunRefreshStore(t, func(t *testing.T) tokentest.RefreshKeeper { return open(t) })
}

func TestAccessStore(t *testing.T) {
	tokentest.RunAccessStore(t, func(t *testing.T) tokentest.AccessKeeper { return open(t) })
}

func (r *replicas) CreateRefresh(ctx context.Context, grant string, f token.Refresh) error {
	return r.next().CreateRefresh(ctx, grant, f)
}

func (r *replicas) UseRefresh(ctx context.Context, d token.Digest, now time.Time) (token.Grant, error) {
	return r.next().UseRefresh(ctx, d, now)
}

func (r *replicas) Refresh(ctx context.Context, d token.Digest, now time.Time) (token.Refresh, token.Grant, error) {
	return r.next().Refresh(ctx, d, now)
}

func (r *replicas) CreateService(ctx context.Context, g token.Grant, a token.Access) error {
	return r.next().CreateService(ctx, g, a)
}

func (r *replicas) RevokeAccess(ctx context.Context, d token.Digest) error {
	return r.next().RevokeAccess(ctx, d)
}

func TestTwoReplicasRefreshAsOneStore(t *testing.T) {
	tokentest.RunRefreshStore(t, func(t *testing.T) tokentest.RefreshKeeper { return openReplicas(t) })
	tokentest.RunAccessStore(t, func(t *testing.T) tokentest.AccessKeeper { return openReplicas(t) })
}
