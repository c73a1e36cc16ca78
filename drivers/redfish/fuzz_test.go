package redfish

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/quirk"
	"dewline/internal/secret"
)

// needFolder fails a fuzz test whose folder of seeds, which the tool itself takes, is empty: it would test little.
func needFolder(f *testing.F) {
	f.Helper()
	folder := filepath.Join("testdata", "fuzz", f.Name())
	if seeds, err := os.ReadDir(folder); err != nil || len(seeds) == 0 {
		f.Fatalf("the seed folder %s is empty: %v", folder, err)
	}
}

// fuzzBudget bounds the requests of a visit by the fuzzer. No visit may come near it: see fuzzed.visit.
const fuzzBudget = 4000

// fuzzed is a machine of our own trees that answers, without a network, with one document of the fuzzer's.
type fuzzed struct {
	tree    map[string]string
	uris    []string
	learned *health.Snapshot // of the machine as it is, after so many visits that nothing more is learned
}

func newFuzzed(f *testing.F, name string) *fuzzed {
	m := &fuzzed{tree: ownTree(f, name)}
	for u := range m.tree {
		m.uris = append(m.uris, u)
	}
	slices.Sort(m.uris)
	c := m.open(f, &fuzzTransport{tree: m.tree})
	for req := (health.Request{Tiers: health.EveryTier}); m.learned == nil || m.learned.Memory != nil; {
		s, err := c.Read(f.Context(), req)
		if err != nil {
			f.Fatal(err)
		}
		if s.Memory == nil && m.learned != nil {
			break
		}
		m.learned, req.Memory, req.Cursors = s, s.Memory, s.NextCursors
	}
	return m
}

func (m *fuzzed) open(t testing.TB, served *fuzzTransport) *Client {
	c, err := Open("t", Options{
		Address: "http://127.0.0.1:1", Username: testUser, Password: secret.New(testPassword), Timeout: time.Minute, RequestBudget: fuzzBudget,
		// One request after the other: with two at once, what is covered would change from run to run.
		Quirks: []quirk.Quirk{{Name: "one-by-one", Effects: []quirk.Effect{quirk.OneRequest}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.http.Timeout = 0 // each request has one of its own
	c.http.Transport = pin{readOnly{denied{count{capped{served}}, c.deniedPath}}, "http", "127.0.0.1:1"}
	return c
}

// visit makes one and checks what holds whatever the BMC says: how often each document is asked for, and that n bytes from
// it cause no more requests than they can name links.
func (m *fuzzed) visit(t *testing.T, c *Client, served *fuzzTransport, req health.Request) *health.Snapshot {
	served.asked = map[string]int{}
	s, err := c.Read(t.Context(), req)
	if s == nil || err != nil && health.ReasonFor(err) == "" {
		t.Fatalf("snapshot %v, error %v", s, err)
	}
	checkSnapshot(t, s)
	n := 0
	for uri, times := range served.asked {
		if n += times; times > 2 {
			t.Errorf("%s is asked for %d times in one visit", uri, times)
		}
	}
	if most := 60 + 2*len(m.tree) + len(served.doc)/8; n > most || s.Cost.Requests != n {
		t.Errorf("%d requests, %d counted, at most %d are to be made", n, s.Cost.Requests, most)
	}
	if s.Cost.Bytes > served.bytes || s.Cost.Bytes > int64(n)*maxBody {
		t.Errorf("%d bytes read, %d sent", s.Cost.Bytes, served.bytes)
	}
	served.bytes = 0
	if parts, most := len(s.Components)+len(s.Readings)+len(s.Gaps)+len(s.Log), 500+20*len(m.tree)+2*len(served.doc); parts > most {
		t.Errorf("%d bytes became %d parts, readings, gaps and entries", len(served.doc), parts)
	}
	return s
}

// fuzzTransport serves the tree. It makes the answers itself: through net/http's recorder they took a third of the time.
type fuzzTransport struct {
	tree   map[string]string
	victim string
	doc    []byte
	only   string // what is served of the tree: what stands above the victim or below this; "" for all of it
	asked  map[string]int
	bytes  int64
	strays []string // hosts that were asked beside ours
}

func (x *fuzzTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if x.asked != nil {
		x.asked[r.Method+" "+r.URL.RequestURI()]++
	}
	if r.URL.Host != "127.0.0.1:1" {
		x.strays = append(x.strays, r.URL.Host)
	}
	resp := &http.Response{StatusCode: http.StatusNotFound, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r}
	body := ""
	if r.Method == http.MethodPost {
		resp.StatusCode = http.StatusCreated
		resp.Header = http.Header{"X-Auth-Token": {"token-1"}, "Location": {"/redfish/v1/SessionService/Sessions/1"}}
	} else if r.URL.Path == x.victim {
		resp.StatusCode, body = http.StatusOK, string(x.doc)
	} else if doc, ok := x.tree[r.URL.Path]; ok && (strings.HasPrefix(x.victim, r.URL.Path) || strings.HasPrefix(r.URL.Path, x.only)) {
		resp.StatusCode, body = http.StatusOK, doc
	}
	x.bytes += int64(len(body))
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

// FuzzVisit feeds one document of a machine to the whole driver: which one, its bytes, and what was learned before are the
// fuzzer's. A visit that does not end is a crash, and not a fuzzing that tells nothing.
func FuzzVisit(f *testing.F) {
	names := []string{"classic", "modern"}
	machines := make([]*fuzzed, len(names))
	for i, name := range names {
		machines[i] = newFuzzed(f, name)
		for j, u := range machines[i].uris {
			f.Add(byte(i), byte(fuzzWhole), uint16(j), []byte(machines[i].tree[u]))
		}
	}
	seed := func(machine int, uri, doc string) {
		j, ok := slices.BinarySearch(machines[machine].uris, uri)
		if !ok {
			f.Fatalf("%s has no %s", names[machine], uri)
		}
		for _, how := range []byte{0, fuzzLearned | fuzzWhole} {
			f.Add(byte(machine), how, uint16(j), []byte(doc))
		}
	}
	for _, s := range hostileSeeds() {
		seed(slices.Index(names, s.machine), s.uri, s.doc)
	}
	needFolder(f)
	f.Fuzz(func(t *testing.T, machine, how byte, which uint16, doc []byte) {
		stuck := time.AfterFunc(5*time.Minute, func() { panic("a visit of some milliseconds has not ended after five minutes") })
		defer stuck.Stop()
		m := machines[int(machine)%len(machines)]
		served := &fuzzTransport{tree: m.tree, victim: m.uris[int(which)%len(m.uris)], doc: doc}
		if how&fuzzWhole == 0 { // the parts around the document alone: ten times as many inputs
			served.only = around(served.victim)
		}
		c := m.open(t, served)
		first := health.Request{Tiers: health.EveryTier}
		if how&fuzzLearned != 0 {
			first.Memory, first.Cursors = m.learned.Memory, m.learned.NextCursors
			if tiers := how & 15; tiers != 0 {
				first.Tiers = health.Tiers(tiers)
			}
		}
		s := m.visit(t, c, served, first)
		// What was learned of it is taken back without fear, by a client that knows nothing else.
		next := health.Request{Tiers: health.TiersOf(health.TierReadings, health.TierEvents), Memory: s.Memory, Cursors: s.NextCursors}
		if how&fuzzAgain != 0 {
			next.Tiers = health.EveryTier
		}
		m.visit(t, m.open(t, served), served, next)
		if len(served.strays) > 0 {
			t.Errorf("requests for %q", served.strays)
		}
	})
}

// What the fuzzer chooses of a visit; the lowest bits are the tiers of one that knows the machine, all of them for 0.
const (
	fuzzLearned = 1 << (iota + 4)
	fuzzAgain   // all is read again, by a client that knows what the first one learned
	fuzzWhole   // all of the machine is there, not only what is around the document
)

// around is the beginning of a path that all of one subsystem share: /redfish/v1/Chassis/1/ThermalSubsystem.
func around(uri string) string {
	segments := strings.Split(uri, "/")
	return strings.Join(segments[:min(6, len(segments))], "/")
}

type hostileSeed struct{ machine, uri, doc string }

// hostileSeeds are documents that mutation would be long in finding: names alike for longer than an ID, states in every
// spelling and none that exists, lists that lie about their length or never end.
func hostileSeeds() []hostileSeed {
	long := strings.Repeat("A", 140)
	each := func(n int, format string) string {
		l := make([]string, n)
		for i := range l {
			l[i] = strings.NewReplacer("LONG", long, "NUMBER", strconv.Itoa(i)).Replace(format)
		}
		return strings.Join(l, ",")
	}
	var states strings.Builder
	for i, state := range []string{"ENABLED", "enabled", "Absent", "ABSENT", "Sleeping", "UnavailableOffline", "StandbySpare", "Qualified", "", "Disabled", "Degraded"} {
		for j, word := range []string{"OK", "ok", "CRITICAL", "Warning", "Fine", "Unknown", ""} {
			fmt.Fprintf(&states, `,{"Name":"S%d.%d","ReadingCelsius":%d,"Status":{"State":%q,"Health":%q}}`, i, j, 20+i, state, word)
		}
	}
	return []hostileSeed{
		{"classic", "/redfish/v1/Chassis/1/Thermal", `{"Fans":[` + each(4, `{"Name":"LONG","MemberId":"LONG","Reading":NUMBER}`) + `]}`},
		{"classic", "/redfish/v1/Chassis/1/Thermal", `{"Temperatures":[` + each(4, `{"Name":"LONG NUMBER","ReadingCelsius":20,"Status":{"State":"ENABLED","Health":"CRITICAL"}}`) + `]}`},
		{"classic", "/redfish/v1/Chassis/1/Thermal", `{"Fans":[` + each(40, `{"Name":"LONG","SerialNumber":"S"}`) + `],"Redundancy":[` + each(3, `{"Name":"LONG"}`) + `]}`},
		{"classic", "/redfish/v1/Chassis/1/Thermal", `{"Temperatures":[` + strings.TrimPrefix(states.String(), ",") + `]}`},
		{"classic", "/redfish/v1/Chassis/1/Power", `{"PowerSupplies":[` + each(3, `{"Name":"LONG","Status":{"State":"enabled","Health":"Fine"},"PowerInputWatts":"NUMBER W"}`) + `],"PowerControl":{"PowerConsumedWatts":-1}}`},
		{"classic", "/redfish/v1/Chassis/1", `{"Id":"` + long + `","Status":{"State":"Sleeping","Health":"OK"},"Thermal":{"@odata.id":"/redfish/v1/Chassis/1/Thermal"},"Power":{"@odata.id":"/redfish/v1/Chassis/1/Thermal"}}`},
		{"classic", "/redfish/v1/Chassis", `{"Members":[` + each(30, `{"@odata.id":"/redfish/v1/Chassis/LONGNUMBER"}`) + `,{"@odata.id":"/redfish/v1/Chassis/1"}],"Members@odata.count":7}`},
		{"classic", "/redfish/v1/Systems/1/Storage", `{"Members":[null,7,{"@odata.id":"/redfish/v1/Systems/1/Storage/RAID"},{"@odata.id":"/redfish/v1/Systems/1/Storage/RAID/"}],"Members@odata.nextLink":"/redfish/v1/Systems/1/Storage?$skip=2"}`},
		{"classic", "/redfish/v1/Systems/1/Storage/RAID", `{"Drives":[` + each(5, `{"@odata.id":"/redfish/v1/Systems/1/Storage/RAID/Drives/LONGNUMBER"}`) + `],"StorageControllers":[` + each(3, `{"Name":"LONG","MemberId":"LONG","Status":"Enabled"}`) + `]}`},
		{"classic", "/redfish/v1/Systems/1/LogServices/Sel/Entries", `{"Members":[` + each(12, `{"Id":"LONG","Created":"1970-01-01T00:00:NUMBERZ","Message":"LONG","Severity":"CRITICAL"}`) + `],"@odata.nextLink":"/redfish/v1/Systems/1/LogServices/Sel/Entries?$skip=12"}`},
		{"classic", "/redfish/v1/Systems/1/LogServices/Sel/Entries", `{"Members":[` + each(200, `{"@odata.id":"/redfish/v1/Systems/1/LogServices/Sel/Entries/NUMBER"}`) + `]}`},
		{"modern", "/redfish/v1/Chassis/tray/ThermalSubsystem/Fans", `{"Members":[` + each(4, `{"@odata.id":"/redfish/v1/Chassis/tray/Fans/LONG/NUMBER","Id":"LONG","Name":"LONG","SpeedPercent":{"Reading":NUMBER}}`) + `]}`},
		{"modern", "/redfish/v1/Chassis/tray/Sensors", `{"Members":[` + each(50, `{"@odata.id":"/redfish/v1/Chassis/tray/Sensors/LONGNUMBER","Name":"LONG","ReadingType":"Temperature","Reading":NUMBER,"Status":{"State":"ENABLED","Health":"ok"}}`) + `]}`},
		{"modern", "/redfish/v1/Chassis/tray/ThermalSubsystem/LeakDetection", `{"Status":{"State":"Enabled","Health":"WARNING"},"LeakDetectorGroups":[` + each(3, `{"GroupName":"LONG","Detectors":[{"DeviceName":"LONG","DataSourceUri":"/redfish/v1/Chassis/tray/LONG/NUMBER","DetectorState":"CRITICAL"}]}`) + `]}`},
		{"modern", "/redfish/v1/Chassis", `{"Members":[{"@odata.id":"/redfish/v1/Chassis"},{"@odata.id":"https://other/x"},7,null]}`},
		{"modern", "/redfish/v1/Chassis/tray", `{"Status":"OK","Fans":[{}],"LeakDetection":{"@odata.id":"/redfish/v1"},"Links":{"Contains":[{"@odata.id":"/redfish/v1/Chassis/tray"},{"@odata.id":"/redfish/v1/Chassis/pdu"}]}}`},
	}
}

// FuzzMemory: the memory comes from a file that may be damaged.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"v":2,"chassis":[{"uri":"/redfish/v1/Chassis/1","id":"1"}]}`))
	f.Add([]byte(`{"v":2,"same":null,"sensors":{"https://other/x":{"id":"a"}}}`))
	f.Add([]byte(`{"v":2,"rosters":{"/redfish/v1/Systems/1/Memory":{"m":["DIMM1","//x/y"],"n":2}},"slow":{"/redfish/v1/a":{"seconds":11,"members":[{"uri":"/redfish/v1/a/b"}]}}}`))
	needFolder(f)
	base, err := parseAddress("https://bmc")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := decodeMemory(base, raw)
		if m == nil {
			return
		}
		for _, l := range m.links() {
			if l != "" && (!strings.HasPrefix(l, "/") || strings.HasPrefix(l, "//")) {
				t.Errorf("link %q", l)
			}
		}
		if again := decodeMemory(base, m.encode()); again == nil {
			t.Error("what was decoded cannot be decoded again")
		}
	})
}
