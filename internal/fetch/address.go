package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// notPublic4 are the IPv4 ranges that are nobody's on the public internet (IANA
// IPv4 special-purpose address registry), and one that is: what a cloud's
// machines reach their host under.
func notPublic4() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
		"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // the host of an Azure machine
	)
}

// global6 is all of IPv6 that is routed; notPublic6 are the parts of it that
// are special (IANA IPv6 special-purpose address registry), among them those
// with an IPv4 address inside.
func global6() netip.Prefix { return netip.MustParsePrefix("2000::/3") }

func notPublic6() []netip.Prefix {
	return prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text) // constants
	}
	return out
}

// public tells whether an address is one of the public internet.
func public(a netip.Addr) bool {
	special := notPublic6()
	if a.Is4() {
		special = notPublic4()
	} else if !global6().Contains(a) {
		return false
	}
	return !contains(special, a)
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// checkAddr decides about one address. An IPv4 address in IPv6 clothes is
// judged as what is dialled: the IPv4 address.
func (f *Fetcher) checkAddr(a netip.Addr) error {
	plain := a.Unmap()
	if !a.IsValid() || a.Zone() != "" || (!public(plain) && !contains(f.o.Allow, plain)) {
		return refuse("its address is not a public one")
	}
	return nil
}

// dial resolves a name once and connects to the addresses it got, not to the
// name again: a second answer could be another (DNS rebinding). One address
// that may not be reached refuses all, since the answer is not to be trusted.
func (f *Fetcher) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	addrs, err := f.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := f.checkAddr(a); err != nil {
			return nil, err
		}
	}
	dialer := &net.Dialer{Control: f.control}
	failures := []error{errors.New("no address could be reached")}
	for _, a := range addrs {
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func (f *Fetcher) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := f.o.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	if len(addrs) == 0 {
		return nil, errors.New("resolve: the name has no address")
	}
	return addrs, nil
}

// control sees the address that is about to be connected to, whatever led to
// it: the last check, and the one that cannot be gone around.
func (f *Fetcher) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse("its address cannot be read")
	}
	return f.checkAddr(at.Addr())
}
