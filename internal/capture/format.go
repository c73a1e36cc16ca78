package capture

import (
	"path"
	"strings"
	"time"
)

// FormatVersion changes when an older dewline could no longer read a recording rightly.
const FormatVersion = 1

// Protocols of a recording.
const (
	ProtocolRedfish = "redfish"
	ProtocolIPMI    = "ipmi"
)

// Manifest is manifest.json, the first entry of a recording.
type Manifest struct {
	Format   int       `json:"format"`
	Dewline  string    `json:"dewline"`  // version of the program that recorded
	Protocol string    `json:"protocol"` // redfish or ipmi
	Time     time.Time `json:"time"`     // when the recording began: the time of the snapshot that a replay gives
	Finished time.Time `json:"finished"`
	Resumed  int       `json:"resumed"` // how often it was interrupted and went on later
	// Redaction says what was replaced.
	Redaction Redaction `json:"redaction"`
	Counts    Counts    `json:"counts"`
	NotRead   []NotRead `json:"not_read"`
	Entries   []Entry   `json:"entries"`
}

// Redaction says how the identities in a recording were treated.
type Redaction struct {
	Identities bool   `json:"identities"` // false: --no-redact
	Secrets    bool   `json:"secrets"`    // always true
	Method     string `json:"method"`
	Replaced   int    `json:"replaced"` // different identities
	Masked     int    `json:"masked"`   // secrets blanked
}

// Counts of what a recording holds.
type Counts struct {
	Documents int `json:"documents"`
	Exchanges int `json:"exchanges"`
	SDR       int `json:"sdr_records"`
	SEL       int `json:"sel_records"`
	FRU       int `json:"fru_devices"`
}

// NotRead is something a recording leaves out, and why.
type NotRead struct {
	Part   string `json:"part"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// Entry is one further entry of the file.
type Entry struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Document is one answer of a Redfish service.
type Document struct {
	URL    string            `json:"url"` // path and query
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	// Error is why there was no answer: timeout, too_large. Status is then 0.
	Error string `json:"error,omitempty"`
	Entry string `json:"entry,omitempty"` // where its body is
	Body  []byte `json:"-"`
}

// Login is how the service took a session login: where, and the status it answered with. Nothing else of it is kept.
type Login struct {
	URL    string `json:"url"`
	Status int    `json:"status"`
}

// redfishIndex is redfish.json.
type redfishIndex struct {
	Documents []*Document `json:"documents"`
	Logins    []Login     `json:"logins"`
}

// Exchange is one command and its answer that needs no further structure.
type Exchange struct {
	NetFn    uint8  `json:"net_fn"`
	LUN      uint8  `json:"lun,omitempty"`
	Cmd      uint8  `json:"cmd"`
	Request  Hex    `json:"request,omitempty"`
	Code     uint8  `json:"code"`
	Response Hex    `json:"response,omitempty"`
	Error    string `json:"error,omitempty"` // why no answer came: timeout
	// After is how long after the recording's time it was asked: a BMC's clock is replayed from there.
	After time.Duration `json:"after_ns,omitempty"`
}

// Record is one record of a chain: sensor data or log.
type Record struct {
	Asked uint16 `json:"asked"` // the ID it was asked by: 0 is the first, ffffh the last of a log
	Next  uint16 `json:"next"`
	Data  Hex    `json:"data,omitempty"`
	Code  uint8  `json:"code,omitempty"` // why Data is not whole
	Error string `json:"error,omitempty"`
}

// FRU is one FRU device's bytes.
type FRU struct {
	ID    uint8  `json:"id"`
	Parts []Part `json:"parts"` // what was read, in order, without overlap
}

// Part is a run of bytes.
type Part struct {
	Offset int `json:"offset"`
	Data   Hex `json:"data"`
}

// Limit is how many bytes at once a BMC refused.
type Limit struct {
	Refused int   `json:"refused,omitempty"` // this many and more are refused; 0: none were
	Code    uint8 `json:"code,omitempty"`
}

// IPMI is ipmi.json.
type IPMI struct {
	Exchanges []Exchange `json:"exchanges"`
	Device    bool       `json:"device_sdr,omitempty"` // the records are the device's own, not a repository's
	SDR       []Record   `json:"sdr"`
	SDRLimit  Limit      `json:"sdr_limit"`
	SEL       []Record   `json:"sel"`
	FRU       []FRU      `json:"fru"`
	FRULimit  Limit      `json:"fru_limit"`
}

// Recording is one recording, read or about to be written.
type Recording struct {
	Manifest  Manifest
	Documents []*Document // in the order they were read
	Logins    []Login
	IPMI      *IPMI // nil for Redfish

	known []Identity // told by who recorded
}

// Names of the entries.
const (
	manifestName = "manifest.json"
	redfishName  = "redfish.json"
	ipmiName     = "ipmi.json"
	indexName    = "index.json"
)

// entryName is where a document's body stands in the file: as in the mock-ups that DMTF's tools serve, where its URL
// allows it.
func entryName(url string, n int) string {
	p, _, query := strings.Cut(url, "?")
	if name := strings.TrimPrefix(p, "/") + "/" + indexName; !query && safeName(name) {
		return name
	}
	return "other/" + itoa(n) + ".json"
}

// safeName tells whether a name is one that unpacks below the folder it is unpacked in, on every system.
func safeName(name string) bool {
	if name == "" || len(name) > 512 || path.Clean(name) != name || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 200 {
			return false
		}
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`\*?"<>|`, c) >= 0 {
			return false
		}
	}
	return true
}
