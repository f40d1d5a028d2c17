package token

import (
	"context"
	"time"
)

// Connections finds what a person has agreed to and not stopped.
type Connections interface {
	// Connections gives the person's grants under which an app can still obtain
	// something at now, the newest first, MaxConnections at most. None is no
	// error.
	Connections(ctx context.Context, issuer, subject string, now time.Time) ([]Grant, error)
}

// MaxConnections bounds what a page has to show.
const MaxConnections = 200
