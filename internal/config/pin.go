package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"dewline/health"
)

// Pin puts the line that trusts a certificate by its fingerprint into the [[target]] of that name, below its address, and gives
// the new text, the line and its number. Everything else stays as it is, byte for byte. It refuses a target that has settled how
// its certificate is verified.
func Pin(file string, data []byte, id health.TargetID, fingerprint string) (out []byte, text string, line int, err error) {
	before, err := Parse(file, data)
	if err != nil {
		return nil, "", 0, err
	}
	i := slices.IndexFunc(before.Targets, func(t Target) bool { return t.ID == id })
	if i < 0 {
		return nil, "", 0, fmt.Errorf("%s has no target %q", file, id)
	}
	text = fmt.Sprintf("tls = { fingerprint = %q }", fingerprint)
	mark := len(data) - len(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	src := newSource(file, data[mark:])
	root, _, _ := parseTree(src)
	targets := root.index["target"]
	if targets == nil || !targets.val.headers || i >= len(targets.val.list) {
		return nil, text, 0, fmt.Errorf("%s: target %q is not in a [[target]] of its own: add %s to it", file, id, text)
	}
	table := targets.val.list[i].table
	address := table.index["address"]
	if address == nil {
		return nil, text, 0, fmt.Errorf("%s: target %q has no address", file, id)
	}
	line, _ = src.place(address.at)
	if tls := table.index["tls"]; tls != nil {
		at, _ := src.place(tls.at)
		return nil, text, at, fmt.Errorf("%s:%d: target %q says already how its certificate is verified: it is not changed", file, at, id)
	}
	begin := bytes.LastIndexByte(src.data[:address.at], '\n') + 1
	indent := src.data[begin:address.at]
	end, eol := len(src.data), "\n"
	if n := bytes.IndexByte(src.data[address.at:], '\n'); n >= 0 {
		end = address.at + n
		if end > 0 && src.data[end-1] == '\r' {
			eol = "\r\n"
		}
		end++
	}
	added := append(slices.Clone(indent), text...)
	if end == len(src.data) && (end == 0 || src.data[end-1] != '\n') { // the last line, not ended
		added = append([]byte(eol), added...)
	} else {
		added = append(added, eol...)
	}
	line++
	out = slices.Concat(data[:mark+end], added, data[mark+end:])
	after, err := Parse(file, out)
	if err != nil || len(after.Targets) != len(before.Targets) || after.Targets[i].ID != id || after.Targets[i].TLS != (TLS{Fingerprint: fingerprint}) {
		return nil, text, line, errors.Join(fmt.Errorf("%s: the line %s does not fit below line %d: add it to target %q by hand", file, text, line-1, id), err)
	}
	return out, text, line, nil
}
