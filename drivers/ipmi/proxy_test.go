package ipmi

import (
	"net"
	"sync"
	"testing"
)

// proxy passes datagrams between a client and a BMC and lets a test do what networks and attackers do.
type proxy struct {
	conn     net.PacketConn
	upstream string
	// toBMC and toUs say what is passed on for a datagram: nothing, itself, or others. Nil passes it on.
	mu          sync.Mutex
	toBMC, toUs func(d []byte) [][]byte
	sent        [][]byte // datagrams from clients
	got         [][]byte // datagrams from the BMC
	links       map[string]net.Conn
	wg          sync.WaitGroup
}

func newProxy(t testing.TB, upstream, listen string) *proxy {
	t.Helper()
	c, err := net.ListenPacket("udp", listen)
	if err != nil {
		t.Skipf("listen on %s: %v", listen, err)
	}
	p := &proxy{conn: c, upstream: upstream, links: map[string]net.Conn{}}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		c.Close()
		p.mu.Lock()
		for _, l := range p.links {
			l.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) address() string { return "ipmi://" + p.conn.LocalAddr().String() }

func (p *proxy) set(toBMC, toUs func([]byte) [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toBMC, p.toUs = toBMC, toUs
}

func (p *proxy) serve() {
	buf := make([]byte, 2048)
	for {
		n, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		d := append([]byte(nil), buf[:n]...)
		p.mu.Lock()
		p.sent = append(p.sent, d)
		up := p.links[from.String()]
		if up == nil {
			if up, err = net.Dial("udp", p.upstream); err != nil {
				p.mu.Unlock()
				continue
			}
			p.links[from.String()] = up
			p.wg.Go(func() { p.back(up, from) })
		}
		out := [][]byte{d}
		if p.toBMC != nil {
			out = p.toBMC(d)
		}
		p.mu.Unlock()
		for _, x := range out {
			_, _ = up.Write(x)
		}
	}
}

func (p *proxy) back(up net.Conn, to net.Addr) {
	buf := make([]byte, 2048)
	for {
		n, err := up.Read(buf)
		if refused(err) {
			continue
		}
		if err != nil {
			return
		}
		d := append([]byte(nil), buf[:n]...)
		p.mu.Lock()
		p.got = append(p.got, d)
		out := [][]byte{d}
		if p.toUs != nil {
			out = p.toUs(d)
		}
		p.mu.Unlock()
		for _, x := range out {
			_, _ = p.conn.WriteTo(x, to)
		}
	}
}

// count counts the clients' datagrams that match.
func (p *proxy) count(match func(d []byte) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, d := range p.sent {
		if match(d) {
			n++
		}
	}
	return n
}

func (p *proxy) total() int { return p.count(func([]byte) bool { return true }) }

func isPayload(payloadType uint8) func([]byte) bool {
	return func(d []byte) bool { return len(d) >= 16 && d[4] == authTypeRMCPP && d[5] == payloadType }
}

// sealed tells whether a datagram belongs to a session.
func sealed(d []byte) bool {
	return isPayload(payloadIPMI | flagEncrypted | flagAuthenticated)(d)
}
