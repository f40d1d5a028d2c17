// Package connect owns how Portico reaches an EHR and signs in there: TLS, client
// certificates, extra headers and credentials, all of which go to the configured
// base and nowhere else. It must not know what is asked of the EHR.
package connect
