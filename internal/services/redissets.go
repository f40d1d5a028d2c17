package services

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Watched is a master and a replica that a Sentinel watches; it makes the replica
// the master when the master is gone for a second.
type Watched struct {
	Name            string // of the set
	Sentinel        *Redis
	Master, Replica *Redis // as they are at the beginning
}

// StartWatched starts a set for this test alone; it returns when the replica has
// all and the Sentinel knows it.
func StartWatched(t testing.TB) *Watched {
	t.Helper()
	w := &Watched{Name: "portico", Master: StartRedis(t, "--repl-diskless-sync-delay", "0")}
	host, port, err := net.SplitHostPort(w.Master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	w.Replica = StartRedis(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	w.Replica.become(t, "INFO replication", "master_link_status:up")
	w.Sentinel = startSentinel(t, fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 1\nsentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 3000\n", w.Name, host, port))
	w.Sentinel.become(t, "INFO sentinel", "slaves=1")
	return w
}

// Promoted waits until the Sentinel has made the replica the master.
func (w *Watched) Promoted(t testing.TB) {
	t.Helper()
	w.Sentinel.become(t, "INFO sentinel", "address="+w.Replica.Addr)
	w.Replica.become(t, "INFO replication", "role:master")
}

// startSentinel starts one; unlike a server it needs a file, which it writes to.
func startSentinel(t testing.TB, text string) *Redis {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, func(dir string) []string { return []string{file, "--sentinel", "--dir", dir} })
}

// StartCluster starts so many masters that share all slots; it returns when each
// says that all is well.
func StartCluster(t testing.TB, nodes int) []*Redis {
	t.Helper()
	Need(t)
	const slots = 16384
	out := make([]*Redis, nodes)
	buses := make([]string, nodes)
	for i := range out {
		bus, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		buses[i] = strconv.Itoa(bus)
		out[i] = StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", buses[i], "--cluster-node-timeout", "2000", "--cluster-config-file", "nodes.conf")
		command(t, out[i], fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/nodes, (i+1)*slots/nodes-1))
		command(t, out[i], fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
	}
	for i, r := range out[1:] {
		host, port, err := net.SplitHostPort(r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		command(t, out[0], fmt.Sprintf("CLUSTER MEET %s %s %s", host, port, buses[i+1]))
	}
	for _, r := range out {
		r.become(t, "CLUSTER INFO", "cluster_known_nodes:"+strconv.Itoa(nodes))
		r.become(t, "CLUSTER INFO", "cluster_state:ok")
	}
	return out
}

func command(t testing.TB, r *Redis, text string) {
	t.Helper()
	if said, err := r.say(text); err != nil || !strings.HasPrefix(said, "+OK") {
		t.Fatalf("%s: %q, %v", text, said, err)
	}
}
