// Package redisdb opens the connection to Redis that the parts of Portico share:
// one server, a set watched by Sentinel, or a Cluster. It owns timeouts and the
// health check; it must not know what is kept there. Nothing durable may be:
// whoever uses it must go on, slower, when it is gone.
package redisdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The limits of one command. Redis is asked on the way of each request, so one
// that does not answer is soon taken to be down.
const (
	dialTimeout = 500 * time.Millisecond
	timeout     = 300 * time.Millisecond
	poolTimeout = 500 * time.Millisecond
)

// Options say where Redis is.
type Options struct {
	Addresses          []string // host:port of the server, of the Sentinels, or of some nodes of the Cluster
	Master             string   // name of the set that Sentinel watches; "": no Sentinel
	Cluster            bool
	Username, Password string
	TLS                *tls.Config // nil: plain
	DB                 int         // number of the database, 0 in a Cluster
}

// New makes a client. Nothing is connected yet.
func New(o Options) (redis.UniversalClient, error) {
	switch {
	case len(o.Addresses) == 0:
		return nil, errors.New("redisdb: an address is required")
	case o.Master != "" && o.Cluster:
		return nil, errors.New("redisdb: Sentinel and Cluster exclude each other")
	case o.Cluster && o.DB != 0:
		return nil, errors.New("redisdb: a Cluster has database 0 only")
	case o.Master == "" && !o.Cluster && len(o.Addresses) > 1:
		return nil, errors.New("redisdb: several addresses need Master or Cluster")
	}
	u := &redis.UniversalOptions{
		Addrs: o.Addresses, MasterName: o.Master, IsClusterMode: o.Cluster, ClientName: "portico",
		Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLS,
		DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: poolTimeout,
		ContextTimeoutEnabled: true, MaxRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	return redis.NewUniversalClient(u), nil
}

// Quiet keeps the library from writing to the standard error: what goes wrong is
// told by the errors that it returns. It changes the whole process, so it is for
// main.
func Quiet() { redis.SetLogger(silent{log.New(io.Discard, "", 0)}) }

type silent struct{ *log.Logger }

// Printf implements the library's logger.
func (silent) Printf(context.Context, string, ...any) {}

// Ping says whether Redis answers.
func Ping(ctx context.Context, client redis.UniversalClient) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis does not answer: %w", err)
	}
	return nil
}

// TLS is how a connection to Redis is secured, with the authorities of a PEM file
// in place of the system's when one is named.
func TLS(caFile string) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return out, nil
	}
	text, err := os.ReadFile(caFile) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	out.RootCAs = x509.NewCertPool()
	if !out.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls: there is no certificate in %s; it must be a PEM file", caFile)
	}
	return out, nil
}
