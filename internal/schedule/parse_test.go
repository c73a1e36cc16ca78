package schedule_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dewline/internal/schedule"
)

func TestParseReadsAndPrintsOneCanonicalForm(t *testing.T) {
	jakarta, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   string
		loc  *time.Location
		want string
	}{
		"five fields":                       {"0 3 * * *", time.UTC, "0 3 * * *"},
		"six fields with seconds first":     {"15 0 3 * * *", time.UTC, "15 0 3 * * *"},
		"blanks are squeezed":               {"  0\t3 * *   * ", time.UTC, "0 3 * * *"},
		"descriptor":                        {"@hourly", time.UTC, "@hourly"},
		"every in seconds":                  {"@every 60s", time.UTC, "@every 1m0s"},
		"every keeps fractions":             {"@every 1500ms", time.UTC, "@every 1.5s"},
		"no location is UTC":                {"@daily", nil, "@daily"},
		"the location becomes a prefix":     {"0 3 * * *", jakarta, "CRON_TZ=Asia/Jakarta 0 3 * * *"},
		"CRON_TZ wins over the location":    {"CRON_TZ=Europe/Paris 0 3 * * *", jakarta, "CRON_TZ=Europe/Paris 0 3 * * *"},
		"TZ is CRON_TZ":                     {"TZ=Europe/Paris 0 3 * * *", nil, "CRON_TZ=Europe/Paris 0 3 * * *"},
		"a named UTC is no prefix":          {"CRON_TZ=UTC @daily", jakarta, "@daily"},
		"every has no zone":                 {"CRON_TZ=Europe/Paris @every 5m", nil, "@every 5m0s"},
		"29 February is due now and then":   {"0 0 29 2 *", nil, "0 0 29 2 *"},
		"31 February or a Monday comes":     {"0 0 31 2 1", nil, "0 0 31 2 1"},
		"31 of some months that have one":   {"0 0 31 2,4,7 *", nil, "0 0 31 2,4,7 *"},
		"names of months and days are read": {"0 0 * jan mon", nil, "0 0 * jan mon"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := schedule.Parse(c.in, c.loc)
			if err != nil {
				t.Fatal(err)
			}
			if s.String() != c.want {
				t.Fatalf("%q prints as %q, want %q", c.in, s, c.want)
			}
			again, err := schedule.Parse(s.String(), nil)
			if err != nil || again.String() != s.String() {
				t.Fatalf("%q read again: %q, %v", s, again, err)
			}
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			if a, b := s.Next(at, "x", time.Hour), again.Next(at, "x", time.Hour); !a.Equal(b) || a.IsZero() {
				t.Fatalf("due %s, read again %s", a, b)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, says string }{
		"nothing":                              {"", "empty"},
		"a zone without a space":               {"TZ=0", "nothing follows the zone"},
		"an empty zone":                        {"TZ=", "no zone"},
		"an empty zone before a spec":          {"CRON_TZ= 0 3 * * *", "no zone"},
		"a zone alone":                         {"CRON_TZ=UTC", "nothing follows the zone"},
		"an unknown zone":                      {"CRON_TZ=Europe/Atlantis 0 3 * * *", "load zone"},
		"a zone that is a path":                {"CRON_TZ=../../etc/passwd 0 3 * * *", "load zone"},
		"the machine's own zone":               {"CRON_TZ=Local 0 3 * * *", "differs from machine to machine"},
		"a negative distance":                  {"@every -5s", "less than"},
		"no distance":                          {"@every 0s", "less than"},
		"a distance below a second":            {"@every 999ms", "less than"},
		"every without a duration":             {"@every", "takes one duration"},
		"every in days":                        {"@every 1d", `a day is "24h"`},
		"a distance beyond reason":             {"@every 1000000h", "ten years"},
		"a bare duration":                      {"60s", `did you mean "@every 60s"`},
		"30 and 31 February":                   {"0 0 30,31 2 *", "never due"},
		"31 of the short months":               {"0 0 31 2,4,6,9,11 ?", "never due"},
		"a field that names nothing":           {", * * * *", "minute names no time"},
		"a second field that names nothing":    {", * * * * *", "second names no time"},
		"too few fields":                       {"* * *", "expected 5 to 6 fields"},
		"an hour that is not":                  {"0 24 * * *", "above maximum"},
		"a step of zero":                       {"*/0 * * * *", "positive"},
		"an unknown descriptor":                {"@reboot", "unrecognized"},
		"a text without end":                   {strings.Repeat("*", 5000), "longer than"},
		"a sixth field read as a year":         {"0 0 3 1 1 * 2027", "expected 5 to 6"},
		"a word":                               {"hourly", "expected 5 to 6 fields"},
		"every twice":                          {"@every 5s 6s", "takes one duration"},
		"a duration that is not":               {"@every soon", "read duration"},
		"a zone after the spec":                {"0 3 * * * CRON_TZ=UTC", "parse schedule"},
		"a range that runs backwards":          {"30-10 * * * *", "beyond end"},
		"a number that no machine word can be": {"99999999999999999999 * * * *", "failed to parse"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := schedule.Parse(c.in, nil)
			if err == nil {
				t.Fatalf("%q was read as %q", c.in, s)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%q: %v; want it to say %q", c.in, err, c.says)
			}
			if len(err.Error()) > 1000 {
				t.Fatalf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestParseRefusesALocationWithoutAName(t *testing.T) {
	if s, err := schedule.Parse("0 3 * * *", time.FixedZone("here", 3600)); err == nil {
		t.Fatalf("read as %q", s)
	}
}

func TestSpecTravelsAsText(t *testing.T) {
	var v struct{ A, B schedule.Spec }
	if err := json.Unmarshal([]byte(`{"A":"CRON_TZ=Asia/Makassar 0 3 * * *","B":""}`), &v); err != nil {
		t.Fatal(err)
	}
	if !v.B.IsZero() || !v.B.Next(time.Now(), "x", 0).IsZero() || v.B.Period(time.Now()) != 0 {
		t.Fatal("the zero spec is due")
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"A":"CRON_TZ=Asia/Makassar 0 3 * * *","B":""}`; string(b) != want {
		t.Fatalf("%s, want %s", b, want)
	}
	if err := json.Unmarshal([]byte(`{"A":"@every -1s"}`), &v); err == nil {
		t.Fatal("a broken spec was read from JSON")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"@every 60s", "0 3 * * *", "*/30 * * * * *", "TZ=0", "CRON_TZ=America/Sao_Paulo 0 0 * * *", "0 0 31 2 *", ", * * * *",
		"1-5/9223372036854775807 * * * *", "@every -5s", "CRON_TZ=Pacific/Apia 0 0 30 12 *", "? ? ? ? ?",
	} {
		f.Add(s, int64(1795000000), "db-1")
	}
	f.Fuzz(func(t *testing.T, s string, unix int64, id string) {
		spec, err := schedule.Parse(s, nil)
		if err != nil {
			return
		}
		at := time.Unix(unix%8_000_000_000, 0) // years 1716 to 2223
		due := spec.Next(at, id, time.Hour)
		if !due.After(at) {
			t.Fatalf("%q after %s is due %s", spec, at.UTC(), due)
		}
	})
}
