package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

func (c *checker) influxdb(db *InfluxDB, raw *rawInfluxDB) {
	if c.required("influxdb.url", "[influxdb]") {
		db.URL = c.influxURL("influxdb.url", raw.URL)
	}
	if c.has("influxdb.organization") && raw.Organization != "" && c.name("influxdb.organization", "`organization`", raw.Organization) {
		db.Organization = raw.Organization
	}
	if c.required("influxdb.bucket", "[influxdb]") && c.name("influxdb.bucket", "`bucket`", raw.Bucket) {
		c.bucket("influxdb.bucket", raw.Bucket)
		db.Bucket = raw.Bucket
	}
	if c.has("influxdb.token") {
		db.Token = c.secret("influxdb.token", raw.Token)
	}
	if d, ok := c.duration("influxdb.timeout", raw.Timeout, time.Second, 10*time.Minute); ok {
		db.Timeout = d
	}
	c.age("influxdb.max_lag", raw.MaxLag, time.Hour, &db.MaxLag)
	db.TLS = InfluxTLS{CAFile: c.caFile("influxdb.tls.ca_file", raw.TLS.CAFile), Insecure: raw.TLS.Insecure}
	if raw.TLS.Insecure {
		if raw.TLS.CAFile != "" {
			c.fault("influxdb.tls.insecure", "`ca_file` and `insecure` exclude each other", "keep one")
		}
		c.warn("influxdb.tls.insecure", "the certificate of InfluxDB is not verified", "use ca_file")
	}
	if db.TLS != (InfluxTLS{}) && strings.HasPrefix(db.URL, "http://") {
		c.warn("influxdb.tls", "`tls` has no effect: `url` is http://", "use https://, or remove it")
	}
}

// bucket checks 1.8's "database/retention policy"; 2.x names have no slash.
func (c *checker) bucket(path, text string) {
	db, policy, found := strings.Cut(text, "/")
	if found && (db == "" || policy == "" || strings.Contains(policy, "/")) {
		c.fault(path, "`bucket` is no \"database/retention policy\"", `for InfluxDB 1.8 "hardware/autogen"; for 2.x a name without /`)
	}
}

// influxURL reads the address of InfluxDB. The errors of net/url are not repeated: they hold the URL, and it may hold a
// password.
func (c *checker) influxURL(path, text string) string {
	const example = `for example "http://127.0.0.1:8086"`
	if text == "" {
		c.fault(path, "`url` is empty", example)
		return ""
	}
	if strings.Contains(text, "@") {
		c.fault(path, "`url` holds a user or a password", "put them into token, as user:password")
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		c.fault(path, "`url` is no URL", example)
		return ""
	}
	host, port := u.Hostname(), u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		c.fault(path, "`url` must begin with http:// or https://", example)
	case !isHost(host):
		c.fault(path, "`url` has a bad host", example)
	case port != "" && !isPort(port):
		c.fault(path, "`url` has a bad port", "a number from 1 to 65535")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		c.fault(path, "`url` has a query", example)
	default:
		if u.Scheme == "http" && !isLoopback(host) {
			c.warn(path, "`url` is http:// to another machine: the token crosses the network in clear", "use https://")
		}
		return strings.TrimSuffix(text, "/")
	}
	return ""
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
