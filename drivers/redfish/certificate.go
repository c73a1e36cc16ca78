package redfish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"dewline/health"
)

// Certificate is the certificate that a BMC shows, whoever vouches for it, so that a person can decide whether to trust it. The
// connection is closed after the handshake: nothing is sent over it.
func Certificate(ctx context.Context, address string) (*x509.Certificate, error) {
	const op = "read the certificate"
	base, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "https" {
		return nil, &health.Error{Reason: health.ReasonUnsupported, Op: op, Err: errors.New("the address is not https")}
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: base.Hostname(), CipherSuites: cipherSuites(), InsecureSkipVerify: true,
	}}
	conn, err := d.DialContext(ctx, "tcp", hostPort(base))
	if err != nil {
		return nil, classify(ctx, op, err)
	}
	defer conn.Close()
	c, ok := conn.(*tls.Conn)
	if !ok || len(c.ConnectionState().PeerCertificates) == 0 {
		return nil, &health.Error{Reason: health.ReasonTLS, Op: op, Err: errors.New("the BMC shows none")}
	}
	return c.ConnectionState().PeerCertificates[0], nil
}
