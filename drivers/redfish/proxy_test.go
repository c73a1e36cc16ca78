package redfish

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
)

// tcpProxy passes bytes between a client and a service, and does what broken networks, load balancers and BMCs do to connections.
type tcpProxy struct {
	net.Listener
	upstream string
	wg       sync.WaitGroup

	mu     sync.Mutex
	broken func(client, server net.Conn) // nil: passes all on
	conns  map[net.Conn]bool
	n      int // connections
}

func newTCPProxy(t *testing.T, upstream string) *tcpProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tcpProxy{Listener: l, upstream: upstream, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.drop()
		p.wg.Wait()
	})
	return p
}

func (p *tcpProxy) address() string { return "https://" + p.Addr().String() }

func (p *tcpProxy) set(broken func(client, server net.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

func (p *tcpProxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// drop ends every connection.
func (p *tcpProxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *tcpProxy) pass(client net.Conn) {
	server, err := net.Dial("tcp", p.upstream)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.n++
	p.conns[client], p.conns[server] = true, true
	broken := p.broken
	p.mu.Unlock()
	defer func() {
		client.Close()
		server.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	if broken != nil {
		broken(client, server)
		return
	}
	pipe(client, server, func(b []byte) bool { _, err := client.Write(b); return err == nil })
}

// pipe passes on what the client says, and hands what the server says to back until that is false.
func pipe(client, server net.Conn, back func([]byte) bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := server.Read(buf)
		if n > 0 && !back(buf[:n]) || err != nil {
			break
		}
	}
	client.Close()
	server.Close()
	<-done
}

// after passes on the first n bytes that the server says, and then does something else, with the first byte beyond them.
func after(n int, then func(client net.Conn, b []byte) bool) func(client, server net.Conn) {
	return func(client, server net.Conn) {
		left := n
		pipe(client, server, func(b []byte) bool {
			if k := min(left, len(b)); k > 0 {
				left -= k
				if _, err := client.Write(b[:k]); err != nil {
					return false
				}
				b = b[k:]
			}
			return len(b) == 0 || then(client, b)
		})
	}
}

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

// silent waits until the other side gives up.
func silent(client, _ net.Conn) { _, _ = io.Copy(io.Discard, client) }

// TestBrokenConnections: each way in which TCP and TLS break is one failed visit with its reason, in its time, with few connections and one login at
// most; the next visit, over a connection that works, reads all again.
func TestBrokenConnections(t *testing.T) {
	const (
		handshake = 900      // bytes: in the middle of the server's certificate or right after it
		body      = 4096 + 7 // in the middle of some answer
	)
	unreachable, timeout, tls := []health.Reason{health.ReasonUnreachable}, []health.Reason{health.ReasonTimeout}, []health.Reason{health.ReasonTLS}
	malformed := append([]health.Reason{health.ReasonMalformed}, unreachable...)
	for _, c := range []struct {
		name    string
		broken  func(client, server net.Conn)
		reasons []health.Reason
	}{
		{"closed at once", func(client, _ net.Conn) { client.Close() }, unreachable},
		{"reset at once", func(client, _ net.Conn) { reset(client) }, unreachable},
		{"silent from the start", silent, timeout},
		{"garbage before TLS", func(client, server net.Conn) {
			_, _ = client.Write(bytes.Repeat([]byte("\x00SSH-2.0-dropbear\r\n"), 8))
			silent(client, server)
		}, tls},
		{"plain HTTP", func(client, server net.Conn) {
			_, _ = io.WriteString(client, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			silent(client, server)
		}, tls},
		{"a TLS alert", func(client, server net.Conn) {
			_, _ = client.Write([]byte{21, 3, 3, 0, 2, 2, 40})
			silent(client, server)
		}, tls},
		{"closed in mid-handshake", after(handshake, func(net.Conn, []byte) bool { return false }), unreachable},
		{"reset in mid-handshake", after(handshake, func(c net.Conn, _ []byte) bool { reset(c); return false }), unreachable},
		{"silent in mid-handshake", after(handshake, func(net.Conn, []byte) bool { return true }), timeout},
		{"cut in mid-body", after(body, func(net.Conn, []byte) bool { return false }), malformed},
		{"reset in mid-body", after(body, func(c net.Conn, _ []byte) bool { reset(c); return false }), malformed},
		{"silent in mid-body", after(body, func(net.Conn, []byte) bool { return true }), timeout},
		{"a bit that flips", after(body, func(c net.Conn, b []byte) bool {
			bad := bytes.Clone(b)
			bad[0] ^= 0x10
			_, err := c.Write(bad)
			return err == nil
		}), append(tls, malformed...)},
		{"a byte at a time, slower than anybody waits", func(client, server net.Conn) {
			pipe(client, server, func(b []byte) bool {
				for i := range b {
					if _, err := client.Write(b[i : i+1]); err != nil {
						return false
					}
					time.Sleep(20 * time.Millisecond)
				}
				return true
			})
		}, timeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := newService(t, ownTree(t, "classic"))
			p := newTCPProxy(t, srv.Listener.Addr().String())
			client := srv.open(t, func(o *Options) { o.Address = p.address() })
			visit := func(patience time.Duration) (*health.Snapshot, error) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				return client.Read(ctx, health.Request{Tiers: health.EveryTier})
			}
			p.set(c.broken)
			s, err := visit(time.Second)
			if s == nil {
				t.Fatal("a snapshot is returned always")
			}
			met := map[health.Reason]bool{}
			for _, r := range append(gapReasons(s), health.ReasonFor(err)) {
				met[r] = true
			}
			ok := false
			for _, r := range c.reasons {
				ok = ok || met[r]
			}
			if !ok {
				t.Errorf("reasons %v, want one of %v: %v", met, c.reasons, err)
			}
			if err == nil && len(missing(s)) == 0 {
				t.Error("all was read over a broken connection")
			}
			checkSnapshot(t, s)
			// A request of ours is at most one connection, and one more where net/http meets a connection that had ended while it was idle.
			created, _, _ := srv.sessionCounts()
			if created > 1 || p.count() > s.Cost.Requests+2 || s.Cost.Requests > 60 {
				t.Errorf("%d logins, %d connections, %+v, %d gaps", created, p.count(), s.Cost, len(s.Gaps))
			}
			p.set(nil)
			p.drop()
			after, err := visit(time.Minute)
			if err != nil || len(ofClass(after, health.ClassFan)) != 5 {
				t.Fatalf("the visit after it: %v, %d parts, gaps %+v", err, len(after.Components), after.Gaps)
			}
			if err := client.Close(t.Context()); err != nil {
				t.Errorf("log out: %v", err)
			}
			if created, deleted, _ := srv.sessionCounts(); created-deleted > 1 { // a login whose answer was lost is the BMC's to end
				t.Errorf("%d sessions made, %d deleted", created, deleted)
			}
		})
	}
}

func gapReasons(s *health.Snapshot) (rs []health.Reason) {
	for _, g := range missing(s) {
		rs = append(rs, g.Reason)
	}
	return rs
}

// TestAServiceThatRestartsInMidSession: it forgets its sessions and its connections break, between two visits and within one. The visit goes on with
// one new login.
func TestAServiceThatRestartsInMidSession(t *testing.T) {
	for _, c := range []struct {
		name string
		at   int // the request of the second visit at which it restarts; 0: before the visit
	}{{"between two visits", 0}, {"at the first request", 1}, {"in mid-visit", 2}} {
		t.Run(c.name, func(t *testing.T) {
			srv := newService(t, ownTree(t, "classic"))
			p := newTCPProxy(t, srv.Listener.Addr().String())
			client := srv.open(t, func(o *Options) { o.Address = p.address() })
			first := read(t, client, health.Request{Tiers: health.EveryTier})
			restart := func() {
				srv.mu.Lock()
				clear(srv.sessions)
				srv.mu.Unlock()
				p.drop()
			}
			if c.at == 0 {
				restart()
			} else {
				var n atomic.Int64
				srv.onRequest(func(http.ResponseWriter, *http.Request) bool {
					if n.Add(1) == int64(c.at) {
						restart()
					}
					return false
				})
			}
			s := read(t, client, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: first.Memory})
			// What was on its way when the service went away may be a gap; the rest is read over a new session.
			if created, _, failed := srv.sessionCounts(); len(missing(s)) > 1 || len(s.Components) == 0 || created > 2 || failed > 0 {
				t.Errorf("%d parts, gaps %+v, %d logins, %d refused", len(s.Components), s.Gaps, created, failed)
			}
			s = read(t, client, health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: s.Memory})
			if created, _, _ := srv.sessionCounts(); len(missing(s)) > 0 || len(ofClass(s, health.ClassFan)) != 5 || created != 2 {
				t.Errorf("the visit after it: gaps %+v, %d fans, %d logins", s.Gaps, len(ofClass(s, health.ClassFan)), created)
			}
		})
	}
}
