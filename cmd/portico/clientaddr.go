package main

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddr gives what finds a client's address for the log.
func clientAddr(trusted []netip.Prefix) func(*http.Request) string { return proxies(trusted).client }

// proxies are the addresses whose word on where a request came from is taken.
type proxies []netip.Prefix

func (p proxies) trusted(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// maxHops bounds how much of X-Forwarded-For is looked at.
const maxHops = 20

// client gives the address to write into the log, and is used for nothing else.
// X-Forwarded-For is read from its end, which the nearest proxy wrote, for as
// long as the writer is trusted: what stands left of the first address that is
// not a proxy's was written by that client and means nothing.
func (p proxies) client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	at := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxHops && p.trusted(at); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = hop.Unmap().WithZone("")
	}
	return at.String()
}
