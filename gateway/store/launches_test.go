package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/launch/launchtest"
)

func TestLaunchStore(t *testing.T) { forEachDatabase(t, testLaunchStore) }

func testLaunchStore(t *testing.T, on database) {
	launchtest.RunStore(t, func(t *testing.T) launch.Store { return on.open(t) })
}

func (r *replicas) CreateLaunch(ctx context.Context, h launch.Handle) error {
	return r.next().CreateLaunch(ctx, h)
}

func (r *replicas) UseLaunch(ctx context.Context, digest [32]byte, source, client string, now time.Time) (launch.Handle, error) {
	return r.next().UseLaunch(ctx, digest, source, client, now)
}

// Two replicas cannot both use up one handle.
func TestReplicasOfLaunches(t *testing.T) { forEachDatabase(t, testReplicasOfLaunches) }

func testReplicasOfLaunches(t *testing.T, on database) {
	launchtest.RunStore(t, func(t *testing.T) launch.Store { return on.replicas(t) })
}
