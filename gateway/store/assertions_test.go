package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
)

func (r *replicas) UseAssertion(ctx context.Context, issuer, jti string, expires time.Time) error {
	return r.next().UseAssertion(ctx, issuer, jti, expires)
}

func TestAssertionStore(t *testing.T) { forEachDatabase(t, testAssertionStore) }

func testAssertionStore(t *testing.T, on database) {
	clienttest.RunAssertionStore(t, func(t *testing.T) client.AssertionStore { return on.open(t) })
	t.Run("two replicas", func(t *testing.T) {
		clienttest.RunAssertionStore(t, func(t *testing.T) client.AssertionStore { return on.replicas(t) })
	})
}
