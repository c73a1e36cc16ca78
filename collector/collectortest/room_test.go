package collectortest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"dewline/collector/collectortest"
	"dewline/health"
)

// Name is one that CheckSnapshot accepts: a driver has its own constant in health.
const Name = health.DriverRedfish

// Client is the driver that docs/DRIVERS.md shows, of a room sensor that answers GET /status.
type Client struct {
	id   health.TargetID
	base string
	http *http.Client
	now  func() time.Time
}

type status struct {
	Name    string   `json:"name"`
	Celsius *float64 `json:"celsius"`
	Wet     *bool    `json:"wet"`
}

// example:begin

func (c *Client) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	at := c.now()
	s := &health.Snapshot{Target: c.id, Driver: Name, At: at, Tiers: req.Tiers}
	if !req.Tiers.Has(health.TierReadings) {
		return s, nil // it has nothing for the other tiers
	}
	s.Cost.Requests = 1      // also if it fails
	st, err := c.status(ctx) // one bounded GET to this host alone; a *health.Error with its reason
	s.Took = c.now().Sub(at)
	if err != nil {
		return s, err // nothing was read
	}
	const place = "/status" // read whole: what is not in it is gone
	s.Scope = []string{place}
	room := health.Component{
		ID: "temperature/Room", Class: health.ClassTemperature, Name: clean(st.Name), Presence: health.Present,
		Place: place, Tier: health.TierReadings, // it says nothing of its health: the state stays unknown
	}
	s.Components = append(s.Components, room)
	if st.Celsius != nil { // null is no reading, and not 0
		s.Readings = append(s.Readings, health.Reading{Component: room.ID, Quantity: health.Temperature, Unit: health.Celsius, Value: *st.Celsius})
	}
	if st.Wet != nil { // a detector that says nothing must not be taken for a dry floor
		s.Components = append(s.Components, detector(*st.Wet, place))
	}
	return s, nil
}

func detector(wet bool, place string) health.Component {
	c := health.Component{
		ID: "leak_detector/Floor", Class: health.ClassLeakDetector, Name: "Floor", Presence: health.Present, State: health.OK, Place: place, Tier: health.TierReadings,
	}
	leak := health.Condition{Kind: health.KindLeakDetected, Severity: health.SeverityOK, Evidence: "wet=false"}
	if wet {
		c.State, leak.Severity, leak.Evidence = health.Critical, health.SeverityCritical, "wet=true"
	}
	c.Conditions = []health.Condition{leak} // read and not so is told as well: only that clears a fault
	return c
}

// example:end

func (c *Client) Close(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

func (c *Client) status(ctx context.Context) (*status, error) {
	fail := func(reason health.Reason, err error) (*status, error) {
		if ctx.Err() != nil {
			reason = health.ReasonStopped
		}
		return nil, &health.Error{Reason: reason, Op: "read status", Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/status", nil)
	if err != nil {
		return fail(health.ReasonUnreachable, err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return fail(health.ReasonUnreachable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fail(health.ReasonServerError, errors.New(resp.Status))
	}
	var st status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&st); err != nil {
		return fail(health.ReasonMalformed, err)
	}
	return &st, nil
}

// clean leaves no control characters, no broken UTF-8, and no more than fits.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 64)], "?"))
}

func openRoom(t *testing.T, body string) *Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/status" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(srv.Close)
	return &Client{id: "room", base: srv.URL, http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}, now: time.Now}
}

func TestTheExampleOfTheDocumentationPasses(t *testing.T) {
	collectortest.TestSourceWith(t, collectortest.Options{Tiers: health.TiersOf(health.TierReadings)}, func(t *testing.T) (collectortest.Source, func()) {
		return openRoom(t, `{"name":"Room 2","celsius":23.5,"wet":false}`), nil
	})
	for name, c := range map[string]struct {
		body     string
		readings int
		floor    string
	}{
		"wet":          {`{"name":"Room 2","celsius":23.5,"wet":true}`, 1, "critical"},
		"says nothing": {`{"name":"Room 2","celsius":null}`, 0, "not told"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := openRoom(t, c.body).Read(t.Context(), health.Request{Tiers: health.EveryTier})
			if err != nil {
				t.Fatal(err)
			}
			collectortest.CheckSnapshot(t, s)
			floor := ""
			for _, x := range s.Components {
				if x.Class == health.ClassLeakDetector {
					floor = x.State.String()
				}
			}
			if len(s.Readings) != c.readings || cmp.Or(floor, "not told") != c.floor {
				t.Errorf("%d readings, floor %q", len(s.Readings), floor)
			}
		})
	}
}

// TestTheDocumentationShowsTheExample: the code in docs/DRIVERS.md is the code above, which compiles and passes the suite.
func TestTheDocumentationShowsTheExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/DRIVERS.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("room_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "// example:begin\n\n")
	code, _, found := strings.Cut(code, "\n// example:end")
	if !found {
		t.Fatal("the example is not marked")
	}
	var shown strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.ReplaceAll(line, "\t", "    "); line != "\n" {
			line = "    " + line
		}
		shown.WriteString(line)
	}
	if !strings.Contains(string(page), shown.String()) {
		t.Errorf("docs/DRIVERS.md does not show this:\n%s", shown.String())
	}
}
