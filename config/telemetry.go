package config

import (
	"net"
	"regexp"
	"strconv"
)

// Telemetry says what operators' systems are told beside the log.
type Telemetry struct {
	TracesEndpoint    string   `yaml:"traces_endpoint"` // OTLP over HTTP; empty: no traces
	TracesHeaders     []Header `yaml:"traces_headers"`
	TracesPercent     int      `yaml:"traces_percent"` // of the requests
	MetricsListen     string   `yaml:"metrics_listen"` // empty: on the admin listener alone
	InsecurePlainHTTP bool     `yaml:"insecure_plain_http"`
}

// Header is one HTTP header that is sent along.
type Header struct {
	Name  string `yaml:"name"`
	Value Secret `yaml:"value"`
}

// headerName is a token of RFC 9110 §5.6.2, of the characters that occur.
var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func (c *Config) checkTelemetry(r *report) {
	t := c.Telemetry
	if t.TracesEndpoint != "" {
		checkURL(r, "telemetry.traces_endpoint", t.TracesEndpoint, urlRule{insecure: t.InsecurePlainHTTP, unless: unlessInsecure, path: true})
	} else if len(t.TracesHeaders) > 0 {
		r.add("telemetry.traces_headers", "does nothing without traces_endpoint; add it or remove this")
	}
	for i, h := range t.TracesHeaders {
		key := item("telemetry.traces_headers", i)
		if !headerName.MatchString(h.Name) {
			r.add(key+".name", "must be the name of an HTTP header: letters, digits and -")
		}
		if h.Value.IsZero() {
			r.add(key+".value", "is missing")
		}
	}
	if t.TracesPercent < 1 || t.TracesPercent > 100 {
		r.add("telemetry.traces_percent", "must be between 1 and 100; for no traces, leave out traces_endpoint")
	}
	if t.MetricsListen == "" {
		return
	}
	_, port, err := net.SplitHostPort(t.MetricsListen)
	n, numErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || numErr != nil || n == 0:
		r.add("telemetry.metrics_listen", "must be an address and a port, such as 127.0.0.1:9464")
	case t.MetricsListen == c.Listen:
		r.add("telemetry.metrics_listen", "is the public listener; use another port")
	case c.Admin != nil && t.MetricsListen == c.Admin.Listen:
		r.add("telemetry.metrics_listen", "is the operator's listener, which has the metrics anyway; use another port or leave it out")
	}
}
