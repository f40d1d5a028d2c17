package connect

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// The time-outs of a connection before the EHR begins to think; how long it may
// think is the caller's to say.
const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	idleTimeout      = 90 * time.Second
	maxHeaders       = 256 << 10 // bytes of an answer's headers, which are read whole
)

// NewTransport makes connections of a source's own, shared with no other, so that
// neither a client certificate nor a trust in some authority spreads. headers is
// how long to wait for an answer's headers; secure may be nil.
func NewTransport(headers time.Duration, secure *tls.Config) *http.Transport {
	if secure == nil {
		secure = &tls.Config{}
	}
	secure = secure.Clone()
	secure.MinVersion = max(secure.MinVersion, tls.VersionTLS12) // RFC 8996
	return &http.Transport{
		// No proxy from the environment: patient data goes where the
		// configuration says.
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       secure,
		TLSHandshakeTimeout:   handshakeTimeout,
		ResponseHeaderTimeout: headers,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       idleTimeout,
		ForceAttemptHTTP2:     true,

		MaxResponseHeaderBytes: maxHeaders,
	}
}
