package coverage_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// hurt are the kinds of documents of which one at a time answers nonsense.
var hurt = []string{
	"Thermal", "Power", "ThermalSubsystem", "PowerSubsystem", "FanCollection", "Fan", "PowerSupplyCollection", "PowerSupply",
	"PowerSupplyMetrics", "SensorCollection", "Sensor", "LeakDetection", "LeakDetectorCollection", "LeakDetector", "Alarm",
	"AlarmCollection", "StorageCollection", "Storage", "DriveCollection", "Drive", "SimpleStorageCollection", "SimpleStorage",
	"MemoryCollection", "Memory", "ProcessorCollection", "Processor", "ChassisCollection", "Chassis", "LogService", "LogServiceCollection",
}

// TestDriverTellsUnreadFromGone has one document at a time answer with what is no JSON: nothing is gone, nothing is new, and
// if a part could not be read there is a gap that says why.
func TestDriverTellsUnreadFromGone(t *testing.T) {
	type job struct{ capture, file, kind string }
	name := func(j job) string { return j.capture + "/" + j.kind }
	var jobs []job
	for c, file := range sorted(captures(t)) {
		tr, raw, err := loadTree(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range hurt {
			if slices.ContainsFunc(ofKind(tr, kind), func(u string) bool { return raw[u] != nil }) {
				jobs = append(jobs, job{c, file, kind})
			}
		}
	}
	for _, j := range sample(t, "unread documents", jobs, share(8), name) {
		t.Run(name(j), func(t *testing.T) {
			t.Parallel()
			tr, raw, err := loadTree(j.file)
			if err != nil {
				t.Fatal(err)
			}
			before := fullVisit(t, j.file)
			urls := slices.DeleteFunc(ofKind(tr, j.kind), func(u string) bool { return raw[u] == nil })
			// The first one that tells of a part, as far as can be seen: many of GB200's 31 chassis are empty.
			slices.SortStableFunc(urls, func(a, b string) int { return told(before, b) - told(before, a) })
			unread(t, raw, urls[0], before)
		})
	}
}

// told is 1 if a component's place is the document or lies in it.
func told(s *health.Snapshot, url string) int {
	if slices.ContainsFunc(s.Components, func(c health.Component) bool {
		return slices.Contains(walked, c.Class) && strings.HasPrefix(cleanURL(c.Place)+"/", url+"/")
	}) {
		return 1
	}
	return 0
}

func unread(t *testing.T, raw map[string][]byte, url string, before *health.Snapshot) {
	nonsense := maps.Clone(raw)
	nonsense[url] = []byte("<html><body>please wait</body></html>")
	s := readTree(t, nonsense, health.Request{Tiers: health.EveryTier, LogLimit: -1, Memory: slices.Clone(before.Memory)})
	known := health.NewKnown(before.Target)
	learn(known, before)
	v := visitOf(health.EveryTier, s)
	steady(t, url+" cannot be read", known, v, "")
	for _, u := range known.UnreadBy(v) {
		k := known.Components[u.ID]
		if !slices.Contains(walked, k.Class) {
			continue
		}
		why := slices.ContainsFunc(s.Gaps, func(g health.Gap) bool {
			return g.Component == k.ID || g.Place != "" && g.Place == k.Place || strings.Contains(g.Part, url)
		})
		if !why {
			t.Errorf("%s cannot be read; %s at %s was not read and no gap says why: %v", url, k.ID, k.Place, s.Gaps)
		}
	}
	// A log that is known and cannot be read is not forgotten in silence.
	if strings.HasPrefix(lastSegment(url), "LogService") || strings.Contains(url, "/LogServices/") {
		if len(s.Logs) < len(before.Logs) && !slices.ContainsFunc(s.Gaps, func(g health.Gap) bool { return strings.Contains(g.Part+g.Place, url) }) {
			t.Errorf("%s cannot be read, %d logs are named instead of %d, and there is no gap", url, len(s.Logs), len(before.Logs))
		}
	}
}
