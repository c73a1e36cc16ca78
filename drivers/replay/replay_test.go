package replay

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/capture"
)

func recorded(docs ...*capture.Document) *capture.Recording {
	return &capture.Recording{Documents: docs, Logins: []capture.Login{{URL: "/redfish/v1/SessionService/Sessions", Status: 201}}}
}

func ask(t *testing.T, s *Redfish, method, url string) (int, string, error) {
	t.Helper()
	resp, err := s.RoundTrip(httptest.NewRequestWithContext(t.Context(), method, url, nil))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), nil
}

func TestARecordedServiceAnswers(t *testing.T) {
	s := NewRedfish(recorded(
		&capture.Document{URL: "/redfish/v1/", Status: 200, Body: []byte(`{"root":1}`)},
		&capture.Document{URL: "/redfish/v1/Gone", Status: 410, Body: []byte(`{"error":{}}`)},
		&capture.Document{URL: "/redfish/v1/Slow", Error: "timeout"},
		&capture.Document{URL: "/redfish/v1/Huge", Error: "too_large"},
		&capture.Document{URL: "/redfish/v1/Cut", Error: "unreachable"},
		&capture.Document{URL: "/redfish/v1/Log", Status: 200, Body: []byte(`{"Members":[1,2,3],"Members@odata.count":3,"Members@odata.nextLink":"/x"}`)},
		&capture.Document{URL: "/redfish/v1/Log?$skip=1", Status: 200, Body: []byte(`{"recorded":true}`)},
	))
	for url, want := range map[string]struct {
		status int
		body   string
	}{
		"/redfish/v1":                     {200, `{"root":1}`},
		"/redfish/v1/":                    {200, `{"root":1}`},
		"/redfish/v1/Gone":                {410, `{"error":{}}`},
		"/redfish/v1/Never":               {404, "not recorded"},
		"/redfish/v1/Log?$skip=1":         {200, `{"recorded":true}`},
		"/redfish/v1/Log?$skip=2&$top=5":  {200, `"Members":[3]`},
		"/redfish/v1/Log?$skip=99":        {200, `"Members":[]`},
		"/redfish/v1/Log?$skip=-1&$top=1": {200, `"Members":[1]`},
		"/redfish/v1/?$expand=*":          {200, `{"root":1}`},
		"/redfish/v1/?$skip=x":            {200, `{"root":1}`},
	} {
		if status, body, err := ask(t, s, http.MethodGet, url); err != nil || status != want.status || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s %v; want %d %s", url, status, body, err, want.status, want.body)
		}
	}
	var timeout interface{ Timeout() bool }
	if _, _, err := ask(t, s, http.MethodGet, "/redfish/v1/Slow"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a recorded silence: %v", err)
	}
	if _, _, err := ask(t, s, http.MethodGet, "/redfish/v1/Cut"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a recorded break: %v", err)
	}
	if status, body, err := ask(t, s, http.MethodGet, "/redfish/v1/Huge"); err != nil || status != 200 || len(body) != capture.MaxBody+1 {
		t.Errorf("a recorded answer that was too large: %d, %d bytes, %v", status, len(body), err)
	}
	for url, want := range map[string]int{"/redfish/v1/SessionService/Sessions": 201, "/redfish/v1/Sessions": 404} {
		if status, body, err := ask(t, s, http.MethodPost, url); err != nil || status != want {
			t.Errorf("login at %s: %d %s %v", url, status, body, err)
		}
	}
	if status, _, _ := ask(t, s, http.MethodPatch, "/redfish/v1"); status != http.StatusMethodNotAllowed {
		t.Errorf("a change: %d", status)
	}
}

func TestARecordedBMCAnswers(t *testing.T) {
	sdr := capture.Hex{1, 0, 0x51, 0x12, 4, 'a', 'b', 'c', 'd'}
	at := uint32(1_700_000_100)
	b, err := NewIPMI(&capture.Recording{IPMI: &capture.IPMI{
		Exchanges: []capture.Exchange{
			{NetFn: 6, Cmd: 1, Response: capture.Hex{1, 2}}, {NetFn: 4, Cmd: 0x2d, Request: capture.Hex{7}, Code: 0xcb}, {NetFn: 4, Cmd: 0x2d, Request: capture.Hex{8}, Error: "timeout"},
			{NetFn: 0x0a, Cmd: 0x48, Response: capture.Hex{byte(at), byte(at >> 8), byte(at >> 16), byte(at >> 24)}, After: 90 * time.Second},
		},
		SDR: []capture.Record{{Asked: 0, Next: 2, Data: sdr}, {Asked: 2, Next: 0xffff, Code: 0xcc}}, SDRLimit: capture.Limit{Refused: 16, Code: 0xca},
		FRU: []capture.FRU{{ID: 0, Parts: []capture.Part{{Offset: 4, Data: capture.Hex("hello")}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what       string
		netFn, cmd uint8
		data       []byte
		code       uint8
		answer     string
	}{
		{"a question", 6, 1, nil, 0, "\x01\x02"},
		{"one that was refused", 4, 0x2d, []byte{7}, 0xcb, ""},
		{"one that was not asked", 4, 0x2d, []byte{9}, 0xc1, ""},
		{"a reservation", 0x0a, 0x22, nil, 0, "\x01\x00"},
		{"a whole record at once, refused", 0x0a, 0x23, []byte{0, 0, 0, 0, 0, 0xff}, 0xca, ""},
		{"a part of the first record", 0x0a, 0x23, []byte{9, 9, 0, 0, 5, 2}, 0, "\x02\x00ab"},
		{"the same by its own ID", 0x0a, 0x23, []byte{9, 9, 1, 0, 7, 15}, 0, "\x02\x00cd"},
		{"a record that could not be read", 0x0a, 0x23, []byte{9, 9, 2, 0, 0, 8}, 0xcc, ""},
		{"a record that is not there", 0x0a, 0x23, []byte{9, 9, 3, 0, 0, 8}, 0xcb, ""},
		{"beyond a record", 0x0a, 0x23, []byte{9, 9, 0, 0, 77, 8}, 0xc9, ""},
		{"a log entry of an empty log", 0x0a, 0x43, []byte{0, 0, 0, 0, 0, 0xff}, 0xcb, ""},
		{"FRU data in other parts", 0x0a, 0x11, []byte{0, 6, 0, 2}, 0, "\x02ll"},
		{"FRU data that was not read", 0x0a, 0x11, []byte{0, 0, 0, 2}, 0xc9, ""},
		{"another FRU device", 0x0a, 0x11, []byte{5, 0, 0, 2}, 0xcb, ""},
		{"the clock, as it was when the recording began", 0x0a, 0x48, nil, 0, "\x0a\xf1\x53\x65"},
	} {
		code, answer, err := b.Exchange(t.Context(), c.netFn, c.cmd, 0, c.data)
		if err != nil || code != c.code || string(answer) != c.answer {
			t.Errorf("%s: %#x %q %v; want %#x %q", c.what, code, answer, err, c.code, c.answer)
		}
	}
	if _, _, err := b.Exchange(t.Context(), 4, 0x2d, 0, []byte{8}); health.ReasonFor(err) != health.ReasonTimeout {
		t.Errorf("a recorded silence: %v", err)
	}
}

func FuzzExchange(f *testing.F) {
	f.Add(uint8(0x0a), uint8(0x23), []byte{0, 0, 0, 0, 0, 0xff}, []byte{1, 0, 0x51, 1, 3, 1, 2, 3})
	f.Add(uint8(0x0a), uint8(0x11), []byte{0, 0xff, 0xff, 0xff}, []byte{1})
	f.Fuzz(func(t *testing.T, netFn, cmd uint8, data, record []byte) {
		b, err := NewIPMI(&capture.Recording{IPMI: &capture.IPMI{
			Exchanges: []capture.Exchange{{NetFn: netFn, Cmd: cmd, Request: data, Response: record}}, SDR: []capture.Record{{Data: record}}, SEL: []capture.Record{{Data: record}},
			FRU: []capture.FRU{{Parts: []capture.Part{{Offset: len(data) - 3, Data: record}}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for lun := range uint8(4) {
			_, _, _ = b.Exchange(t.Context(), netFn, cmd, lun, data)
		}
	})
}
