package redfish

import (
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// TestLeakDetectorsFailWet: a bad DetectorState is a leak whatever else is said, a detector that is not well is never dry, and a person is
// told to go and look where both may be.
func TestLeakDetectorsFailWet(t *testing.T) {
	const ok, warning, critical = health.SeverityOK, health.SeverityWarning, health.SeverityCritical
	for name, c := range map[string]struct {
		doc     string
		state   health.State
		leak    []health.Severity // what it says of a leak; SeverityOK: there is none
		fault   []health.Severity // what it says of the detector
		inspect bool
	}{
		"dry":                            {`"DetectorState":"OK","Status":{"State":"Enabled","Health":"OK"}`, health.OK, []health.Severity{ok}, []health.Severity{ok}, false},
		"critical":                       {`"DetectorState":"Critical","Status":{"State":"Enabled","Health":"OK"}`, health.Critical, []health.Severity{critical}, []health.Severity{ok}, false},
		"warning":                        {`"DetectorState":"Warning","Status":{"State":"Enabled","Health":"OK"}`, health.Warning, []health.Severity{warning}, []health.Severity{ok}, false},
		"critical in capitals":           {`"DetectorState":"CRITICAL","Status":{"State":"Enabled","Health":"OK"}`, health.Critical, []health.Severity{critical}, []health.Severity{ok}, false},
		"critical and degraded":          {`"DetectorState":"Critical","Status":{"State":"Degraded","Health":"Critical"}`, health.Critical, []health.Severity{critical}, []health.Severity{warning}, true},
		"warning and degraded":           {`"DetectorState":"Warning","Status":{"State":"Degraded","Health":"OK"}`, health.Warning, []health.Severity{warning}, []health.Severity{warning}, true},
		"dry, says one that is degraded": {`"DetectorState":"OK","Status":{"State":"Degraded","Health":"OK"}`, health.Warning, nil, []health.Severity{warning}, false},
		"unavailable":                    {`"DetectorState":"Unavailable","Status":{"State":"Enabled","Health":"OK"}`, health.Unknown, nil, []health.Severity{warning}, false},
		"absent":                         {`"DetectorState":"Absent","Status":{"State":"Absent"}`, health.Unknown, nil, []health.Severity{warning}, false},
		"absent in small letters":        {`"DetectorState":"absent","Status":{"State":"Enabled","Health":"OK"}`, health.Unknown, nil, []health.Severity{warning}, false},
		"switched off":                   {`"DetectorState":"OK","Enabled":false,"Status":{"State":"Enabled","Health":"OK"}`, health.Unknown, nil, []health.Severity{warning}, false},
		"a word that nobody knows":       {`"DetectorState":"Moist","Status":{"State":"Enabled","Health":"OK"}`, health.Unknown, nil, []health.Severity{ok}, false},
		"no DetectorState, and its Health critical": {`"Status":{"State":"Enabled","Health":"Critical"}`, health.Critical, []health.Severity{critical}, []health.Severity{ok}, false},
		"nothing at all": {`"Name":"Leak"`, health.Unknown, nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var d detectorDoc
			if err := decode([]byte("{"+c.doc+"}"), &d); err != nil {
				t.Fatal(err)
			}
			p := &part{}
			p.Class = health.ClassLeakDetector
			detector(p, &d)
			said := func(k health.Kind) (all []health.Severity) {
				for _, x := range p.Conditions {
					if x.Kind == k {
						all = append(all, x.Severity)
					}
				}
				return all
			}
			leak := said(health.KindLeakDetected)
			if p.State != c.state {
				t.Errorf("state %s, want %s", p.State, c.state)
			}
			if c.leak == nil && slices.Contains(leak, ok) && p.State == health.OK {
				t.Errorf("it is said to be dry: %+v", p.Conditions)
			}
			if c.leak != nil && !slices.Equal(leak, c.leak) {
				t.Errorf("of a leak %v, want %v", leak, c.leak)
			}
			if fault := said(health.KindDetectorFault); !slices.Equal(fault, c.fault) {
				t.Errorf("of the detector %v, want %v", fault, c.fault)
			}
			look := slices.ContainsFunc(p.Conditions, func(x health.Condition) bool { return strings.Contains(x.Evidence, "leak or failed detector: inspect") })
			if look != c.inspect {
				t.Errorf("inspect: %v, %+v", look, p.Conditions)
			}
		})
	}
}
