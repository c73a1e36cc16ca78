package redfish

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
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

// FuzzVisit feeds one document of a machine to the whole driver: which one, and its bytes, are the fuzzer's.
func FuzzVisit(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "trees", "*.json"))
	if err != nil || len(names) == 0 {
		f.Fatal("no seed trees in testdata/trees")
	}
	trees := map[string]map[string]string{}
	uris := map[string][]string{}
	for _, n := range names {
		name := strings.TrimSuffix(filepath.Base(n), ".json")
		trees[name] = ownTree(f, name)
		for u := range trees[name] {
			uris[name] = append(uris[name], u)
		}
		slices.Sort(uris[name])
	}
	for _, name := range []string{"classic", "modern"} {
		for i, u := range uris[name] {
			f.Add(name == "modern", uint16(i), []byte(trees[name][u]))
		}
	}
	f.Add(false, uint16(3), []byte(`{"Members":[{"@odata.id":"/redfish/v1/Chassis"},{"@odata.id":"https://other/x"},7,null]}`))
	f.Add(true, uint16(9), []byte(`{"Status":"OK","Fans":[{}],"LeakDetection":{"@odata.id":"/redfish/v1"}}`))
	needFolder(f)
	f.Fuzz(func(t *testing.T, modern bool, which uint16, doc []byte) {
		name := "classic"
		if modern {
			name = "modern"
		}
		victim := uris[name][int(which)%len(uris[name])]
		var requests atomic.Int64
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if r.Host != "127.0.0.1:1" {
				t.Errorf("request for %s", r.Host)
			}
			switch {
			case r.Method == http.MethodPost:
				w.Header().Set("X-Auth-Token", "token-1")
				w.Header().Set("Location", "/redfish/v1/SessionService/Sessions/1")
				w.WriteHeader(http.StatusCreated)
			case r.URL.Path == victim:
				_, _ = w.Write(doc)
			case trees[name][r.URL.Path] != "":
				fmt.Fprint(w, trees[name][r.URL.Path])
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		})
		c, err := Open("t", Options{Address: "http://127.0.0.1:1", Username: testUser, Password: secret.New(testPassword), Timeout: time.Minute, RequestBudget: 600})
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = pin{readOnly{denied{count{capped{inProcess{h}}}, c.deniedPath}}, "http", "127.0.0.1:1"}
		var last *health.Snapshot
		req := health.Request{Tiers: health.EveryTier}
		for range 2 {
			requests.Store(0)
			s, err := c.Read(t.Context(), req)
			if s == nil || err != nil && health.ReasonFor(err) == "" {
				t.Fatalf("snapshot %v, error %v", s, err)
			}
			checkSnapshot(t, s)
			if n := int(requests.Load()); n > 600 || s.Cost.Requests != n {
				t.Errorf("%d requests, %d counted", n, s.Cost.Requests)
			}
			req.Memory, req.Cursors = s.Memory, s.NextCursors
			last = s
		}
		// What was learned of it is taken back without fear.
		c2, _ := Open("t", Options{Address: "http://127.0.0.1:1", RequestBudget: 600})
		c2.http.Transport = c.http.Transport
		_, _ = c2.Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: last.Memory})
	})
}

// inProcess answers requests with a handler, without a network.
type inProcess struct{ h http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	p.h.ServeHTTP(w, r)
	return w.Result(), nil
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
