package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"dewline/health"
	"dewline/internal/secret"
)

// Input is where probes push their readings.
type Input struct {
	Listen            string // HOST:PORT
	Token             secret.Ref
	Rate              float64 // requests a second
	CertFile, KeyFile string  // absolute; both or none
	Insecure          bool    // without TLS, also beyond loopback
}

// Probe is a target whose readings are pushed.
type Probe struct {
	health.Target
	Sensors []ProbeSensor
}

// ProbeSensor is one sensor, and which lines are its.
type ProbeSensor struct {
	Name, Quantity     string
	Measurement, Field string
	Tags               map[string]string
	Scale              float64
	Context            string
	Wet, Dry           []string
}

type rawInput struct {
	Listen   string      `toml:"listen"`
	Token    string      `toml:"token"`
	Rate     float64     `toml:"rate"`
	Insecure bool        `toml:"insecure"`
	TLS      rawInputTLS `toml:"tls"`
}

type rawInputTLS struct {
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
}

type rawProbe struct {
	Name     string            `toml:"name"`
	Site     string            `toml:"site"`
	Rack     string            `toml:"rack"`
	Position int               `toml:"position"`
	Labels   map[string]string `toml:"labels"`
	Sensors  []rawProbeSensor  `toml:"sensor"`
}

type rawProbeSensor struct {
	Name        string            `toml:"name"`
	Quantity    string            `toml:"quantity"`
	Measurement string            `toml:"measurement"`
	Field       string            `toml:"field"`
	Tags        map[string]string `toml:"tags"`
	Scale       float64           `toml:"scale"`
	Context     string            `toml:"context"`
	Wet         []string          `toml:"wet"`
	Dry         []string          `toml:"dry"`
}

func defaultInput() *Input { return &Input{Listen: "127.0.0.1:8186", Rate: 20} }

const (
	probeDriver = "push"
	leak        = "leak"
)

func (c *checker) input(in *Input, raw *rawInput) {
	if c.has("input.listen") {
		host, port, err := net.SplitHostPort(raw.Listen)
		switch {
		case err != nil || !isPort(port):
			c.fault("input.listen", "`listen` is no HOST:PORT: "+quote(raw.Listen), `for example "127.0.0.1:8186"`)
		case host == "":
			c.fault("input.listen", "`listen` names no address: it would be all of them", `"127.0.0.1:8186", or "0.0.0.0:8186" if you mean that`)
		default:
			in.Listen = raw.Listen
		}
	}
	if c.required("input.token", "[input]") {
		if raw.Token == "" {
			c.fault("input.token", "`token` is empty: anyone could push readings", "make one: openssl rand -hex 32")
		} else {
			in.Token = c.secret("input.token", raw.Token)
		}
	}
	c.within("input.rate", raw.Rate, 0.1, 1000, &in.Rate)
	in.Insecure = raw.Insecure
	if raw.TLS.CertFile != "" {
		in.CertFile = c.path(raw.TLS.CertFile)
	}
	if raw.TLS.KeyFile != "" {
		in.KeyFile = c.path(raw.TLS.KeyFile)
	}
	switch {
	case in.CertFile == "" && in.KeyFile == "":
	case in.CertFile == "" || in.KeyFile == "":
		c.fault("input.tls", "`cert_file` and `key_file` belong together", "")
	default:
		if _, err := tls.LoadX509KeyPair(in.CertFile, in.KeyFile); err != nil {
			c.fault("input.tls.cert_file", fmt.Sprintf("the certificate cannot be used: %v", err), "a certificate and its key in PEM, readable by dewline")
		}
	}
	host, _, _ := net.SplitHostPort(in.Listen)
	switch open := !isLoopback(host) && in.CertFile == ""; {
	case open && !in.Insecure:
		c.fault("input.listen", "`listen` is no loopback address, and there is no `tls`: the token would cross the network in clear",
			"give it [input.tls], or say `insecure = true`")
	case open:
		c.warn("input.insecure", "pushed readings and their token cross the network in clear: who listens can push too", "use [input.tls]")
	}
}

func (c *checker) probes(cfg *Config, raw *rawFile) {
	places := map[health.TargetID]string{}
	for i := range raw.Targets {
		places[health.TargetID(raw.Targets[i].Name)] = fmt.Sprintf("target[%d]", i)
	}
	for i := range raw.Probes {
		path := fmt.Sprintf("probe[%d]", i)
		if !c.has(path) {
			continue
		}
		r := &raw.Probes[i]
		p := Probe{Target: health.Target{Driver: probeDriver, Address: probeDriver + ":"}}
		if c.required(path+".name", "[[probe]]") && c.name(path+".name", "`name`", r.Name) {
			p.ID = health.TargetID(r.Name)
			if first, twice := places[p.ID]; twice {
				c.twice(path+".name", first+".name", "target "+quote(r.Name))
			}
			places[p.ID] = path
		}
		for key, s := range map[string]struct {
			text string
			to   *string
		}{"site": {r.Site, &p.Site}, "rack": {r.Rack, &p.Rack}} {
			if c.has(path+"."+key) && s.text != "" && c.name(path+"."+key, quote(key), s.text) {
				*s.to = s.text
			}
		}
		if c.has(path + ".position") {
			c.between(path+".position", r.Position, 1, 100)
			p.Position = r.Position
		}
		p.Labels = c.labels(path+".labels", r.Labels)
		if len(r.Sensors) == 0 && c.whole {
			c.fault(path, "[[probe]] has no [[probe.sensor]]: nothing of it would be kept", "")
		}
		for k := range r.Sensors {
			if at := fmt.Sprintf("%s.sensor[%d]", path, k); c.has(at) {
				p.Sensors = append(p.Sensors, c.probeSensor(at, &r.Sensors[k], p.Sensors))
			}
		}
		cfg.Probes = append(cfg.Probes, p)
	}
	if len(cfg.Probes) > 0 && cfg.Input == nil && c.whole {
		c.fault("probe[0]", "there is no [input]: nothing can be pushed", "add [input] with a token")
	}
	if cfg.Input != nil && len(raw.Probes) == 0 && c.whole {
		c.warn("input", "[input] is of no use without a [[probe]]", "")
	}
}

func (c *checker) probeSensor(path string, r *rawProbeSensor, others []ProbeSensor) ProbeSensor {
	s := ProbeSensor{
		Name: r.Name, Quantity: r.Quantity, Measurement: r.Measurement, Field: r.Field, Tags: r.Tags, Scale: 1, Context: r.Context, Wet: r.Wet, Dry: r.Dry,
	}
	const table = "[[probe.sensor]]"
	if c.required(path+".name", table) && c.name(path+".name", "`name`", r.Name) {
		for _, o := range others {
			if o.Name == r.Name && o.Quantity == r.Quantity {
				c.fault(path+".name", "sensor "+quote(r.Name)+" is defined twice", "names are unique among the sensors of a quantity")
			}
		}
	}
	if c.required(path+".quantity", table) {
		c.oneOf(path+".quantity", r.Quantity, "humidity", "temperature", leak)
	}
	for key, text := range map[string]string{"measurement": r.Measurement, "field": r.Field} {
		if c.required(path+"."+key, table) && text == "" {
			c.fault(path+"."+key, quote(key)+" is empty", "as the sender writes it")
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(r.Tags)) {
		if r.Tags[tag] == "" {
			c.fault(path+".tags."+tag, "tag "+quote(tag)+" is empty: a line cannot have that", "")
		}
	}
	c.within(path+".scale", r.Scale, -1000, 1000, &s.Scale)
	if c.has(path+".scale") && r.Scale == 0 {
		c.fault(path+".scale", "`scale` is 0: every reading would be", "")
	}
	if c.has(path+".context") && r.Context != "" {
		c.oneOf(path+".context", r.Context, "room", "intake", "exhaust", "rack", "ambient")
	}
	if r.Quantity == leak {
		if len(r.Wet) == 0 && c.whole {
			c.fault(path, "a leak sensor needs `wet`: the values that mean water", `for example wet = ["1"]`)
		}
		for _, w := range r.Wet {
			if slices.Contains(r.Dry, w) {
				c.fault(path+".dry", "value "+quote(w)+" is both wet and dry", "")
			}
		}
	} else if len(r.Wet)+len(r.Dry) > 0 {
		at := path + ".wet"
		if !c.has(at) {
			at = path + ".dry"
		}
		c.fault(at, "only a leak is wet or dry", strings.TrimSpace("`quantity` is "+quote(r.Quantity)))
	}
	return s
}
