package coverage_test

import (
	"slices"
	"strings"
	"testing"

	"dewline/health"
)

// honest is a snapshot that tells the truth of the tree in TestComparison.
func honest() []*reported {
	c := func(id health.ComponentID, class health.Class, name, serial, place string, presence health.Presence, state health.State, readings ...health.Reading) *reported {
		r := &reported{health.Component{ID: id, Class: class, Name: name, Serial: serial, Place: place, Presence: presence, State: state}, map[health.Quantity]health.Reading{}}
		for _, x := range readings {
			r.readings[x.Quantity] = x
		}
		return r
	}
	thermal := root + "/Chassis/1/Thermal"
	return []*reported{
		c("fan/0", health.ClassFan, "Fan 1", "", thermal+"#Fans", health.Present, health.OK, health.Reading{Quantity: health.Speed, Unit: health.RPM, Value: 9000}),
		c("fan/1", health.ClassFan, "Fan 2", "", thermal+"#Fans", health.Absent, health.Unknown),
		c("temperature/a", health.ClassTemperature, "Add-in", "", thermal+"#Temperatures", health.Present, health.OK, health.Reading{Quantity: health.Temperature, Value: 30}),
		c("temperature/b", health.ClassTemperature, "Add-in", "", thermal+"#Temperatures", health.Present, health.OK, health.Reading{Quantity: health.Temperature, Value: 40}),
		c("drive/0", health.ClassDrive, "Bay 0", "S1", root+"/Systems/1/Storage/1", health.Present, health.Critical),
	}
}

func TestComparison(t *testing.T) {
	w := walk(small(t, map[string]string{
		"/Chassis/1/Thermal": `{"Fans":[
			{"MemberId":"0","Name":"Fan 1","Reading":9000,"ReadingUnits":"RPM","Status":{"State":"Enabled","Health":"OK"}},
			{"MemberId":"1","Name":"Fan 2","Reading":0,"ReadingUnits":"RPM","Status":{"State":"Absent"}}],
			"Temperatures":[
			{"MemberId":"0","Name":"Add-in","ReadingCelsius":30,"Status":{"State":"Enabled","Health":"OK"}},
			{"MemberId":"1","Name":"Add-in","ReadingCelsius":40,"Status":{"State":"Enabled","Health":"OK"}}]}`,
		"/Systems/1/Storage/1/Drives/0": `{"@odata.type":"#Drive.v1_0_0.Drive","Id":"0","Name":"Bay 0","SerialNumber":"S1","Status":{"State":"Enabled","Health":"Critical"}}`,
	}))
	without := func(id health.ComponentID) func([]*reported) []*reported {
		return func(l []*reported) []*reported {
			return slices.DeleteFunc(l, func(c *reported) bool { return c.ID == id })
		}
	}
	change := func(id health.ComponentID, f func(c *reported)) func([]*reported) []*reported {
		return func(l []*reported) []*reported {
			for _, c := range l {
				if c.ID == id {
					f(c)
				}
			}
			return l
		}
	}
	for name, c := range map[string]struct {
		change func([]*reported) []*reported
		want   string // in the only disagreement; "" none
	}{
		"the truth is accepted": {func(l []*reported) []*reported { return l }, ""},
		"a missing part":        {without("fan/0"), "missing: fan"},
		"one of two of a name":  {without("temperature/b"), "missing: temperature"},
		"a part told twice": {func(l []*reported) []*reported {
			d := *l[4]
			d.ID = "drive/again"
			return append(l, &d)
		}, "reported twice: drive/"},
		"an invented part": {func(l []*reported) []*reported {
			return append(l, &reported{Component: health.Component{ID: "psu/9", Class: health.ClassPSU, Name: "PSU 9"}})
		}, "no such part, or one reported twice: psu/9"},
		"a wrong value":         {change("fan/0", func(c *reported) { c.readings[health.Speed] = health.Reading{Quantity: health.Speed, Value: 9001} }), "speed is 9001"},
		"no value":              {change("fan/0", func(c *reported) { clear(c.readings) }), "no speed"},
		"an absent fan present": {change("fan/1", func(c *reported) { c.Presence = health.Present }), "is absent in the capture"},
		"an absent fan at 0 rpm": {change("fan/1", func(c *reported) {
			c.readings[health.Speed] = health.Reading{Quantity: health.Speed, Value: 0}
		}), "is absent and has readings"},
		"a critical drive called ok": {change("drive/0", func(c *reported) { c.State = health.OK }), "is Critical in the capture"},
		"a part of another class":    {change("drive/0", func(c *reported) { c.Class = health.ClassVolume }), "missing: drive"},
	} {
		t.Run(name, func(t *testing.T) {
			comps := c.change(honest())
			var wrong []string
			for _, class := range walked {
				wrong = append(wrong, disagreements(w, class, comps)...)
			}
			switch {
			case c.want == "" && len(wrong) > 0:
				t.Errorf("refused: %q", wrong)
			case c.want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], c.want)):
				t.Errorf("got %q, want one with %q", wrong, c.want)
			}
		})
	}
}
