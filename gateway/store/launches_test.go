package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/launch/launchtest"
)

func TestLaunchStore(t *testing.T) {
	launchtest.RunStore(t, func(t *testing.T) launch.Store { return open(t) })
}

func (r *replicas) CreateLaunch(ctx context.Context, h launch.Handle) error {
	return r.next().CreateLaunch(ctx, h)
}

func (r *replicas) UseLaunch(ctx context.Context, digest [32]byte, source, client string, now time.Time) (launch.Handle, error) {
	return r.next().UseLaunch(ctx, digest, source, client, now)
}

// Two replicas cannot both use up one handle.
func TestReplicasOfLaunches(t *testing.T) {
	launchtest.RunStore(t, func(t *testing.T) launch.Store { return openReplicas(t) })
}
