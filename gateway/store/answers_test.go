package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/token"
)

func (r *replicas) BeginAnswer(ctx context.Context, a authz.Answered, now time.Time) (bool, error) {
	return r.next().BeginAnswer(ctx, a, now)
}

func (r *replicas) FinishAnswer(ctx context.Context, request string, location []byte, code token.Digest) error {
	return r.next().FinishAnswer(ctx, request, location, code)
}

func (r *replicas) Answer(ctx context.Context, request string, now time.Time) (authz.Answered, error) {
	return r.next().Answer(ctx, request, now)
}

func (r *replicas) ForgetAnswer(ctx context.Context, code token.Digest) error {
	return r.next().ForgetAnswer(ctx, code)
}

func TestAnsweredStore(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, on database) {
		authztest.RunAnsweredStore(t, func(t *testing.T) authz.AnsweredStore { return on.replicas(t) })
	})
}
