package capacity

import (
	"math"
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/report/reporttest"
)

func keyOf(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "|")
}

func (o *oracle) machine(id health.TargetID) *reporttest.Machine {
	for _, m := range o.f.Machines {
		if m.Target.ID == id {
			return m
		}
	}
	return nil
}

var alignedSeries = []health.SeriesID{psu1, psu2, board, inlet, dew, rh, fan1, fan2}

func (o *oracle) report() {
	o.put("version", 1)
	o.put("days_with_data", 40)
	o.put("step_seconds", 300)
	o.put("forecast_minimums.days", 30)
	o.put("forecast_minimums.days_that_count", 24)
	o.put("forecast_minimums.share_of_a_day", 0.5)
	o.put("forecast_minimums.horizon_windows", 4)
	for path, e := range map[string][6]float64{"recommended": {18, 27, -9, 15, 0, 50}, "allowable": {10, 35, -12, 17, 45, 80}} {
		for i, k := range []string{"low_celsius", "high_celsius", "dew_point_low_celsius", "dew_point_high_celsius", "relative_humidity_low_percent", "relative_humidity_high_percent"} {
			if e[i] != 0 || i < 4 {
				o.put("air_limits."+path+"."+k, e[i])
			}
		}
	}
	for k, v := range map[string][2]float64{"site|bontang": {9000, 0.9}, "rack|bontang|A1": {1300, 0.95}, "feed|left": {700, 0.95}, "feed|right": {650, 0.95}} {
		o.put("budgets["+k+"].volt_amperes", v[0])
		o.put("budgets["+k+"].power_factor", v[1])
	}
	o.times["from"], o.times["until"], o.times["data_from"], o.times["data_until"], o.times["generated_at"] = begin, end, begin, end, end
	o.truths["simulated"] = false
	for _, m := range o.f.Machines {
		o.server(m)
	}
	above := map[health.TargetID]float64{}
	var p95 []float64
	for _, id := range []health.TargetID{"web-1", "web-2", "db-1"} {
		above[id] = p95Of(real(stepMeans(o.machine(id), inlet)))
		p95 = append(p95, above[id])
	}
	slices.Sort(p95)
	for id, v := range above {
		o.about(o.serverPath(o.machine(id))+".cooling.above_rack_kelvin", v-p95[1], bin*(v+p95[1]))
	}
	o.groups()
	o.parts()
	o.reliability()
	o.resilience()
}

func (o *oracle) serverPath(m *reporttest.Machine) string {
	return "servers[" + keyOf(m.Target.Site, string(m.Target.ID), m.Identity.Manufacturer, m.Identity.Model) + "]"
}

func (o *oracle) server(m *reporttest.Machine) {
	path, id := o.serverPath(m), m.Target.ID
	if m.Target.Position > 0 {
		o.put(path+".position", float64(m.Target.Position))
	}
	seen := map[int]bool{}
	for _, s := range alignedSeries {
		for _, x := range m.Samples[s] {
			seen[int(x.At.Sub(begin)/health.AlignStep)] = true
		}
	}
	if id == "old-1" { // nothing but its utilisation
		for _, x := range m.Samples[use] {
			seen[int(x.At.Sub(begin)/health.AlignStep)] = true
		}
	}
	first := all
	for k := range seen {
		first = min(first, k)
	}
	o.times[path+".first_read"] = begin.Add(time.Duration(first) * health.AlignStep)
	o.watched[id] = len(seen)
	o.put(path+".watched_days", float64(len(seen))/288)
	o.put(path+".coverage", float64(len(seen))/float64(all))
	switch id {
	case "web-1":
		o.times[path+".installed"], o.times[path+".warranty_until"] = begin.AddDate(-4, 0, 0), begin.AddDate(-1, 0, 0)
	case "web-2":
		o.times[path+".installed"], o.times[path+".warranty_until"] = begin.AddDate(-2, 0, 0), end.AddDate(0, 6, 0)
	}
	faults := 0
	for _, x := range o.f.Faults {
		if x.Target == id && !x.AtStart && !x.Opened.Before(begin) {
			faults++
		}
	}
	o.put(path+".faults", float64(faults))
	o.power(m, path+".power")
	o.cooling(m, path+".cooling")
}

func (o *oracle) power(m *reporttest.Machine, path string) {
	id := m.Target.ID
	one, two, whole := stepMeans(m, psu1), stepMeans(m, psu2), stepMeans(m, board)
	draw := make([]float64, all)
	zero, fromBoard, fromInput := 0, 0, 0
	for k := range draw {
		draw[k] = math.NaN()
		sum, complete, any := 0.0, true, false
		for _, x := range []struct {
			id    health.SeriesID
			steps []float64
		}{{psu1, one}, {psu2, two}} {
			switch {
			case len(m.Samples[x.id]) == 0:
			case !math.IsNaN(x.steps[k]):
				sum, any = sum+x.steps[k], true
			case !o.fault(id, x.id.Component, k):
				complete = false
			}
		}
		switch {
		case any && complete && sum > 0:
			draw[k] = sum
			fromInput++
		case !math.IsNaN(whole[k]) && whole[k] > 0:
			draw[k] = whole[k]
			fromBoard++
		case any && complete:
			zero++
		}
	}
	o.draws[id] = draw
	n := len(real(draw))
	o.spread(path+".draw_watts", draw)
	o.put(path+".coverage", float64(n)/float64(all))
	if len(real(draw)) > 0 {
		o.put(path+".energy_kwh", total(real(draw))/12/1000)
	}
	o.put(path+".energy_hours", hoursOf(n))
	o.put(path+".gap_hours", hoursOf(all-n))
	o.put(path+".board_hours", hoursOf(fromBoard))
	o.put(path+".readings_of_zero", float64(zero))
	highest, sampling, days := 0.0, 0.0, map[int]float64{}
	for _, x := range []health.SeriesID{psu1, psu2, board} {
		if len(m.Samples[x]) == 0 || (x == board) != (fromInput == 0) {
			continue
		}
		most := map[int]float64{}
		for _, s := range m.Samples[x] {
			d := int(s.At.Sub(midnight(0)).Hours() / 24)
			most[d] = max(most[d], s.Value)
		}
		for d, v := range most {
			days[d] += v
			highest = max(highest, days[d])
		}
		sampling = max(sampling, everySeconds(m, x))
	}
	if n > 0 {
		highest = max(highest, slices.Max(real(draw)))
		o.put(path+".highest_sample_watts", highest)
		o.put(path+".sampling_interval_seconds", sampling)
		o.sampled[id] = sampling
		o.trend(path+".trend", perDay(draw, p95Of))
	}
	ratings := map[health.TargetID][]float64{"web-1": {550, 495}, "web-2": {300, 300}, "db-1": {800}}[id]
	supplies := map[health.TargetID]float64{"web-1": 2, "web-2": 2, "db-1": 1, "gpu-1": 1}[id]
	o.put(path+".supplies", supplies)
	o.put(path+".supplies_without_rating", supplies-float64(len(ratings)))
	if ratings != nil {
		left := total(ratings) - slices.Max(ratings)
		o.put(path+".capacity_watts", total(ratings))
		o.put(path+".capacity_one_lost_watts", left)
		o.put(path+".headroom_one_lost_watts", left-highest)
	}
	o.truths[path+".capped"], o.truths[path+".supplies_shared"] = id == "gpu-1", false
	capped := map[int]bool{}
	if id == "gpu-1" {
		o.put(path+".limit_watts", 900)
		for k, v := range draw {
			if v >= 0.95*900 {
				capped[int(begin.Add(time.Duration(k)*health.AlignStep).Sub(midnight(0)).Hours()/24)] = true
			}
		}
	}
	o.put(path+".capped_days", float64(len(capped)))
}

// everySeconds is every how many seconds a series was read, in the steps in which it was.
func everySeconds(m *reporttest.Machine, s health.SeriesID) float64 {
	return 300 * float64(len(real(stepMeans(m, s)))) / float64(len(m.Samples[s]))
}

func (o *oracle) cooling(m *reporttest.Machine, path string) {
	in, dp, humid := stepMeans(m, inlet), stepMeans(m, dew), stepMeans(m, rh)
	o.spread(path+".inlet_celsius", in)
	o.spread(path+".dew_point_celsius", dp)
	o.spread(path+".relative_humidity_percent", humid)
	o.put(path+".inlet_coverage", float64(len(real(in)))/float64(all))
	o.truths[path+".dew_point_computed"] = false
	if n := len(real(in)); n > 0 {
		o.put(path+".inlet_sampling_interval_seconds", 300*float64(n)/float64(len(m.Samples[inlet])))
		o.about(path+".inlet_headroom_kelvin", 35-p99Of(in), bin*p99Of(in))
	}
	if len(real(dp)) > 0 {
		o.about(path+".dew_point_headroom_kelvin", 17-p99Of(dp), bin*p99Of(dp))
	}
	var margins []float64
	for _, s := range m.Samples[margin] {
		margins = append(margins, s.Value)
	}
	o.spread(path+".condensation_margin_kelvin", margins)
	var warmRec, warmAll, wetRec, wetAll int
	for k := range in {
		if in[k] < 18 || in[k] > 27 {
			warmRec++
		}
		if in[k] < 10 || in[k] > 35 {
			warmAll++
		}
		if !math.IsNaN(dp[k]) && (dp[k] < -9 || dp[k] > 15 || humid[k] > 50) {
			wetRec++
		}
		if !math.IsNaN(dp[k]) && (dp[k] < -12 || dp[k] > 17 || humid[k] < 45 || humid[k] > 80) {
			wetAll++
		}
	}
	warm, moist := len(real(in)), len(real(dp))
	for _, x := range []struct {
		key       string
		judged, v int
	}{
		{"temperature_judged_hours", 1, warm}, {"moisture_judged_hours", 1, moist}, {"recommended_temperature_hours", warm, warmRec}, {"recommended_moisture_hours", moist, wetRec},
		{"allowable_temperature_hours", warm, warmAll}, {"allowable_moisture_hours", moist, wetAll},
	} {
		if x.judged > 0 { // else there is no figure
			o.put(path+".outside."+x.key, hoursOf(x.v))
		}
	}
	a, b := stepMeans(m, fan1), stepMeans(m, fan2)
	duty := make([]float64, all)
	for k := range duty {
		duty[k] = meanOfV(real([]float64{a[k], b[k]}))
	}
	o.spread(path+".fan_duty_percent", duty)
	if len(real(duty)) > 0 {
		o.trend(path+".fan_duty_trend", perDay(duty, meanOfV))
	}
	if len(real(duty)) == 0 || len(real(in)) == 0 {
		return
	}
	tenths := func(v float64) float64 { return math.Round(10 * v) }
	from := tenths(p95Of(real(in)))
	var warmest []float64
	for k := range in {
		if tenths(in[k]) >= from && !math.IsNaN(duty[k]) {
			warmest = append(warmest, duty[k])
		}
	}
	path += ".fan_duty_at_warmest"
	o.put(path+".inlet_from_celsius", from/10)
	o.put(path+".n", float64(len(warmest)))
	if len(warmest) >= 60 {
		o.about(path+".p95_percent", p95Of(warmest), bin*p95Of(warmest))
	}
}

// group puts a group of n members whose draws are given.
func (o *oracle) group(path string, members [][]float64, servers, unread int, budget, factor float64) []float64 {
	sums, least := make([]float64, all), make([]float64, all)
	excluded := 0
	for k := range sums {
		sums[k], least[k] = math.NaN(), math.NaN()
		var there []float64
		for _, m := range members {
			if !math.IsNaN(m[k]) {
				there = append(there, m[k])
			}
		}
		if len(there) > 0 {
			least[k] = total(there)
		}
		if len(there) < len(members) { // with so few members, none may be missing
			excluded++
			continue
		}
		sums[k] = total(there)
	}
	n := len(real(sums))
	o.put(path+".servers", float64(servers))
	o.put(path+".steps_counted", float64(n))
	o.put(path+".steps_scaled", 0)
	o.put(path+".steps_excluded", float64(excluded))
	o.put(path+".coverage", float64(n)/float64(all))
	if len(real(sums)) > 0 {
		o.put(path+".energy_kwh", total(real(sums))/12/1000)
	}
	o.put(path+".energy_hours", hoursOf(n))
	o.put(path+".gap_hours", hoursOf(all-n))
	o.put(path+".members_never_read", float64(unread))
	if n == 0 {
		o.spread(path+".at_least_watts", least)
	} else {
		o.spread(path+".draw_watts", sums)
	}
	o.used(path+".budget", sums, budget, factor)
	if n > 0 {
		slope, low, high, level, ok := o.trend(path+".trend", perDay(sums, p95Of))
		if budget > 0 {
			o.reach(path+".reaches_budget", budget*factor, slope, low, high, level, ok, false)
		}
	}
	counts, means, most := perDay(sums, func(v []float64) float64 { return float64(len(v)) }), perDay(sums, meanOfV), perDay(sums, slices.Max[[]float64])
	for d, p95 := range perDay(sums, p95Of) {
		at := path + ".days[" + midnight(d).Format(time.RFC3339) + "]"
		o.put(at+".steps", counts[d])
		o.put(at+".mean_watts", means[d])
		o.put(at+".p95_watts", p95)
		o.put(at+".max_watts", most[d])
	}
	return sums
}

// used puts how much of a budget is used.
func (o *oracle) used(path string, sums []float64, budget, factor float64) {
	if budget == 0 {
		return
	}
	o.put(path+".volt_amperes", budget)
	o.put(path+".power_factor", factor)
	o.truths[path+".over"] = false
	if len(real(sums)) == 0 {
		return
	}
	p99, most := p99Of(sums)/factor, slices.Max(real(sums))/factor
	o.about(path+".p99_volt_amperes", p99, bin*p99)
	o.put(path+".max_volt_amperes", most)
	o.about(path+".p99_share", p99/budget, bin*p99/budget)
	o.put(path+".stranded_volt_amperes", max(0, budget-most))
	o.truths[path+".over"] = p99 > budget
}

func (o *oracle) groups() {
	d := o.draws
	for k := range 10 * 288 { // until it was first visited it was no member
		if !math.IsNaN(d["app-1"][k]) {
			o.t.Fatal("app-1 came early")
		}
	}
	for path, ids := range map[string][]health.TargetID{
		"all|": {"web-1", "web-2", "db-1", "gpu-1", "app-1"}, "site|bontang|bontang": {"web-1", "web-2", "db-1", "gpu-1"}, "site|samarinda|samarinda": {"app-1"},
		"rack|bontang|A1": {"web-1", "web-2", "db-1"}, "rack|bontang|A2": {"gpu-1"},
	} {
		rarest := 0.0
		for _, id := range ids {
			rarest = max(rarest, o.sampled[id])
		}
		o.put("groups["+path+"].sampling_interval_seconds", rarest)
	}
	for path, ids := range map[string][]health.SeriesID{"feed|left": {psu1}, "feed|right": {psu2}, "feeds|left + right": {psu1, psu2}} {
		rarest := 0.0
		for _, s := range ids {
			rarest = max(rarest, everySeconds(o.machine("web-1"), s), everySeconds(o.machine("web-2"), s))
		}
		o.put("groups["+path+"].sampling_interval_seconds", rarest)
	}
	none := d["nas-1"]
	o.group("groups[all|]", [][]float64{d["web-1"], d["web-2"], d["db-1"], d["gpu-1"], none, d["app-1"], d["old-1"]}, 7, 2, 0, 0)
	o.group("groups[site|bontang|bontang]", [][]float64{d["web-1"], d["web-2"], d["db-1"], d["gpu-1"], none}, 5, 1, 9000, 0.9)
	o.group("groups[site|samarinda|samarinda]", [][]float64{d["app-1"], d["old-1"]}, 2, 1, 0, 0)
	a1 := o.group("groups[rack|bontang|A1]", [][]float64{d["web-1"], d["web-2"], d["db-1"]}, 3, 0, 1300, 0.95)
	o.put("groups[rack|bontang|A1].supplies_rated_watts", 550+495+600+800)
	o.group("groups[rack|bontang|A2]", [][]float64{d["gpu-1"], none}, 2, 1, 0, 0)

	// A supply that is known to be out draws nothing.
	supply := func(id health.TargetID, s health.SeriesID) []float64 {
		v := stepMeans(o.machine(id), s)
		for k := range v {
			if math.IsNaN(v[k]) && o.fault(id, s.Component, k) {
				v[k] = 0
			}
		}
		return v
	}
	w11, w12, w21, w22 := supply("web-1", psu1), supply("web-1", psu2), supply("web-2", psu1), supply("web-2", psu2)
	d11 := supply("db-1", psu1) // rated, and never read: it is on no feed
	if len(real(d11)) != 0 {
		o.t.Fatal("db-1 has an input")
	}
	o.group("groups[feed|left]", [][]float64{w11, w21}, 2, 0, 700, 0.95)
	o.group("groups[feed|right]", [][]float64{w12, w22}, 2, 0, 650, 0.95)
	o.group("groups[feeds|left + right]", [][]float64{w11, w21, w12, w22}, 2, 0, 650, 0.95)

	// What if: four like web-1 and web-2 are two of each.
	plus := make([]float64, all)
	minus := make([]float64, all)
	for k := range plus {
		plus[k] = 3*d["web-1"][k] + 3*d["web-2"][k] + d["db-1"][k]
		minus[k] = d["web-1"][k] + d["db-1"][k]
	}
	o.whatIf("what_if[rack|bontang|A1|add 4 x web]", plus, a1, 4, 1300, 0.95)
	o.whatIf("what_if[rack|bontang|A1|remove 1 x web-2]", minus, a1, -1, 1300, 0.95)
	sum := func(parts ...[]float64) []float64 {
		out := make([]float64, all)
		for k := range out {
			for _, p := range parts {
				out[k] += p[k]
			}
		}
		return out
	}
	web := sum(d["web-1"], d["web-2"]) // two more of each; a feed with a partner has half of what they draw
	o.whatIf("what_if[feed|left|add 4 x web]", sum(w11, w21, web), sum(w11, w21), 4, 700, 0.95)
	o.whatIf("what_if[feed|right|add 4 x web]", sum(w12, w22, web), sum(w12, w22), 4, 650, 0.95)
	o.whatIf("what_if[feeds|left + right|add 4 x web]", sum(w11, w21, w12, w22, web, web), sum(w11, w21, w12, w22), 4, 650, 0.95)
	o.whatIf("what_if[feed|left|remove 1 x web-2]", w11, sum(w11, w21), -1, 700, 0.95)
	o.whatIf("what_if[feed|right|remove 1 x web-2]", w12, sum(w12, w22), -1, 650, 0.95)
	o.whatIf("what_if[feeds|left + right|remove 1 x web-2]", sum(w11, w12), sum(w11, w21, w12, w22), -1, 650, 0.95)
	two := make([]float64, all)
	for k := range two { // nothing of nas-1 is known
		two[k] = math.NaN()
	}
	o.whatIf("what_if[rack|bontang|A2|add 4 x web]", two, two, 4, 0, 0)
	o.whatIf("what_if[site|bontang|bontang|add 4 x web]", two, two, 4, 9000, 0.9)
	o.whatIf("what_if[site|bontang|bontang|remove 1 x web-2]", two, two, -1, 9000, 0.9)
}

func (o *oracle) whatIf(path string, after, before []float64, n, budget, factor float64) {
	o.put(path+".servers", n)
	o.put(path+".steps_counted", float64(len(real(after))))
	o.put(path+".steps_excluded", float64(all-len(real(after))))
	o.spread(path+".after_watts", after)
	o.spread(path+".before_watts", before)
	o.used(path+".budget", after, budget, factor)
	if len(real(after)) > 0 {
		a, b := p99Of(after), p99Of(before)
		o.about(path+".p99_watts_each", (a-b)/n, bin*(a+b)/math.Abs(n))
	}
}

func lastOf(m *reporttest.Machine, s health.SeriesID) float64 {
	v := m.Samples[s]
	return v[len(v)-1].Value
}

func (o *oracle) parts() {
	web1 := o.machine("web-1")
	years := float64(o.watched["web-1"]) / 12 / (365.25 * 24)
	drive := func(component string) string {
		return "drives[the " + component + "|web-1|" + component + "|" + map[string]string{"drive/3": "D2"}[component] + "]"
	}
	for _, x := range []struct {
		id    string
		life  health.SeriesID
		wears bool
	}{{"drive/1", life1, true}, {"drive/2", life2, false}, {"drive/3", life3, false}} {
		path := strings.Replace(drive(x.id), "|]", "|D1]", 1)
		o.put(path+".life_left_percent", lastOf(web1, x.life))
		days := map[int]float64{}
		for _, s := range web1.Samples[x.life] {
			days[int(s.At.Sub(midnight(0)).Hours()/24)] = s.Value
		}
		o.put(path+".reaches_limit.limit", 10)
		slope, low, high, level, ok := o.trend(path+".wear_percent", days)
		if !x.wears {
			for _, k := range []string{"slope_per_30_days", "slope_low_95", "slope_high_95", "level_at_end"} {
				delete(o.want, path+".wear_percent."+k)
			}
		} else {
			o.reach(path+".reaches_limit", 10, slope, low, high, level, ok, true)
		}
		if x.id != "drive/3" {
			o.put(path+".capacity_bytes", 1e12)
		}
		o.truths[path+".failed"], o.truths[path+".predicted_failure"] = false, false
	}
	path := "drives[the drive/1|web-1|drive/1|D1]"
	o.put(path+".spare_left_percent", 100)
	o.put(path+".media_errors", lastOf(web1, media1))
	o.put(path+".media_errors_since", lastOf(web1, media1)-3) // that many it had on the first day
	o.put(path+".power_on_hours", lastOf(web1, hours1))
	path = "drives[the drive/1|web-2|drive/1|D1]"
	o.put(path+".capacity_bytes", 2e12)
	o.truths[path+".failed"], o.truths[path+".predicted_failure"] = false, true

	other := float64(o.watched["web-2"]) / 12 / (365.25 * 24)
	for k, v := range map[string]struct {
		n, predicted int
		years        float64
	}{"D1|1_3y": {1, 0, years}, "D1|unknown": {2, 1, years + other}, "D2|unknown": {1, 0, years}} {
		path := "drive_models[" + k + "]"
		o.put(path+".drives", float64(v.n))
		o.rate(path+".failures", 0, v.years)
		o.rate(path+".predicted_failures", v.predicted, v.years)
	}
	for class, v := range map[string][3]float64{"drive": {4, 4e12, 1}, "memory": {2, 64 << 30, 0}} {
		o.put("capacity["+class+"].parts", v[0])
		o.put("capacity["+class+"].capacity_bytes", v[1])
		o.put("capacity["+class+"].parts_without_capacity", v[2])
	}
	o.models()
	o.memory()
	for _, id := range []health.TargetID{"gpu-1", "old-1"} {
		var v []float64
		for _, s := range o.machine(id).Samples[use] {
			v = append(v, s.Value)
		}
		o.spread("utilisation["+string(id)+"|cpu/1].percent", v)
	}
}

func (o *oracle) models() {
	type row struct {
		servers, dated, out, soon, untold float64
		age                               float64
		bios, bmc                         map[string]float64
	}
	age := func(y int) float64 { return end.Sub(begin.AddDate(-y, 0, 0)).Hours() / (365.25 * 24) }
	for k, v := range map[string]row{
		"Acme|R1": {3, 2, 1, 1, 1, (age(4) + age(2)) / 2, map[string]float64{"2.1": 2, "2.2": 1}, map[string]float64{"1.2.1": 2, "1.2.2": 1}},
		"Acme|R2": {1, 0, 0, 0, 1, 0, map[string]float64{"2.1": 1}, map[string]float64{"1.2.1": 1}},
		"Bolt|G8": {1, 0, 0, 0, 1, 0, map[string]float64{"7": 1}, map[string]float64{"1.7": 1}},
		"Bolt|N4": {1, 0, 0, 0, 1, 0, map[string]float64{"": 1}, map[string]float64{"1.": 1}},
		"":        {1, 0, 0, 0, 1, 0, map[string]float64{"": 1}, map[string]float64{"1.": 1}},
	} {
		path := "models[" + k + "]"
		o.put(path+".servers", v.servers)
		o.put(path+".servers_with_date", v.dated)
		o.put(path+".out_of_warranty", v.out)
		o.put(path+".warranty_ends_within_a_year", v.soon)
		o.put(path+".warranty_not_told", v.untold)
		if v.age > 0 {
			o.put(path+".median_age_years", v.age)
		}
		for version, n := range v.bios {
			o.put(path+".bios["+version+"].count", n)
		}
		for version, n := range v.bmc {
			o.put(path+".bmc_firmware["+version+"].count", n)
		}
	}
	for k, versions := range map[string]map[string]float64{"psu|P550": {"1.0": 1, "1.1": 1}, "psu|P300": {"1.0": 2}, "drive|D1": {"A": 2, "B": 1}, "drive|D2": {"B": 1}} {
		sum := 0.0
		for version, n := range versions {
			o.put("firmware["+k+"].versions["+version+"].count", n)
			sum += n
		}
		o.put("firmware["+k+"].parts", sum)
	}
}

func (o *oracle) memory() {
	gpu := o.machine("gpu-1")
	lasts := map[int]float64{}
	for _, s := range gpu.Samples[ecc] {
		lasts[int(s.At.Sub(midnight(0)).Hours()/24)] = s.Value
	}
	half := begin.Add(end.Sub(begin) / 2)
	gained, recent, before := 0.0, 0.0, math.NaN()
	for d := range 42 {
		v, ok := lasts[d]
		if !ok {
			continue
		}
		if !math.IsNaN(before) {
			g := v - before
			if g < 0 {
				g = v
			}
			gained += g
			if !midnight(d).Before(half) {
				recent += g
			}
		}
		before = v
	}
	path := "memory_errors[the memory/1|gpu-1|memory/1|memory]"
	o.put(path+".counted", gained)
	o.put(path+".logged_events", 0)
	o.put(path+".second_half_share", recent/gained)
	o.truths[path+".open_fault"] = true
	path = "memory_errors[db-1|memory/3|]"
	late := 0.0
	for _, e := range o.f.Events {
		if !e.At.Truncate(24 * time.Hour).Before(half) {
			late++
		}
	}
	o.put(path+".logged_events", 12)
	o.put(path+".second_half_share", late/12)
	o.truths[path+".open_fault"] = false
}

func (o *oracle) reliability() {
	year := 12 * 365.25 * 24
	w := map[health.TargetID]float64{}
	sum := 0.0
	for id, n := range o.watched {
		w[id] = float64(n) / year
		sum += w[id]
	}
	o.put("reliability.server_years", sum)
	o.put("reliability.faults_at_start", 1)
	exposure := map[string]float64{
		"fan": 2*w["web-1"] + w["db-1"], "psu": 2*w["web-1"] + 2*w["web-2"] + w["db-1"], "drive": 3*w["web-1"] + w["web-2"], "memory": 2 * w["gpu-1"], "power_unit": sum,
	}
	parts := map[string]float64{"fan": 3, "psu": 5, "drive": 4, "memory": 2, "power_unit": 0}
	for k, n := range map[string]int{
		"failed|psu": 1, "redundancy_lost|power_unit": 1, "redundancy_lost|psu": 1, "failed|fan": 3, "predicted_failure|drive": 1, "correctable_error|memory": 1, "failed|drive": 0, "failed|memory": 0,
	} {
		_, class, _ := strings.Cut(k, "|")
		if n := parts[class]; n > 0 {
			o.put("reliability.classes["+k+"].parts", n)
		}
		o.rate("reliability.classes["+k+"]", n, exposure[class])
	}
	for k, v := range map[string]struct {
		servers, count int
		years          float64
	}{"Acme|R1": {3, 4, w["web-1"] + w["web-2"] + w["app-1"]}, "Acme|R2": {1, 3, w["db-1"]}, "Bolt|G8": {1, 1, w["gpu-1"]}, "Bolt|N4": {1, 0, w["nas-1"]}, "": {1, 0, w["old-1"]}} {
		o.put("reliability.models["+k+"].servers", float64(v.servers))
		o.rate("reliability.models["+k+"]", v.count, v.years)
	}
	path := "reliability.repeat_offenders[failed|the fan/1|db-1|fan/1|fan]"
	o.put(path+".times", 3)
	o.times[path+".last"] = begin.Add(24 * 24 * time.Hour)
	o.truths[path+".open"] = false
	for k, v := range map[string]struct {
		lost, degraded, times float64
	}{"web-1|psu": {14, 0, 2}, "db-1|fan": {0, 24, 1}} { // 12 h, and 8 h from the sixth on: 14 h; of 48 h one day lies before the window
		path := "reliability.redundancy_lost[" + k + "]"
		o.put(path+".lost_hours", v.lost)
		o.put(path+".degraded_hours", v.degraded)
		o.put(path+".times", v.times)
		o.truths[path+".open"] = false
	}
	for class, v := range map[string][4]float64{"fan": {3, 2, 2, 0}, "psu": {2, 10, 10, 0}, "power_unit": {1, 12, 12, 0}, "drive": {0, 0, 0, 1}, "memory": {0, 0, 0, 1}} {
		path := "reliability.time_to_clear[" + class + "]"
		o.put(path+".cleared", v[0])
		if v[0] > 0 {
			o.put(path+".mean_hours", v[1])
			o.put(path+".median_hours", v[2])
		}
		o.put(path+".still_open", v[3])
	}
}

func (o *oracle) resilience() {
	a1 := make([]float64, all)
	for k := range a1 {
		a1[k] = o.draws["web-1"][k] + o.draws["web-2"][k] + o.draws["db-1"][k]
	}
	p99 := p99Of(a1)
	path := "resilience.losses[rack|bontang|A1]"
	o.put(path+".servers", 3)
	o.put(path+".servers_left", 4)
	o.about(path+".p99_watts", p99, bin*p99)
	for k, v := range map[string][2]float64{"R1": {2, 1}, "R2": {1, 0}} {
		o.put(path+".models["+k+"].servers", v[0])
		o.put(path+".models["+k+"].left", v[1])
	}
	path = "resilience.losses[site|bontang|bontang]"
	o.put(path+".servers", 5)
	o.put(path+".servers_left", 2)
	sums := make([]float64, all)
	for k := range sums {
		sums[k] = total(real([]float64{o.draws["web-1"][k], o.draws["web-2"][k], o.draws["db-1"][k], o.draws["gpu-1"][k]}))
		if sums[k] == 0 {
			sums[k] = math.NaN()
		}
	}
	o.about(path+".at_least_watts", p99Of(sums), bin*p99Of(sums))
	for k, v := range map[string][2]float64{"R1": {2, 1}, "R2": {1, 0}, "G8": {1, 0}, "N4": {1, 0}} {
		o.put(path+".models["+k+"].servers", v[0])
		o.put(path+".models["+k+"].left", v[1])
	}
	o.put("resilience.purchase_site.spare_servers", 5) // a lower bound of their power is none to buy by
	o.put("resilience.purchase_site.margin_percent", 10)
	path = "resilience.purchase"
	o.put(path+".spare_servers", 3)
	o.about(path+".p99_watts", p99, bin*p99)
	o.put(path+".margin_percent", 10)
	slope, low, high, level, ok := o.trend("groups[rack|bontang|A1].trend", perDay(a1, p95Of))
	if !ok {
		o.t.Fatal("rack A1 has no trend")
	}
	for k, s := range map[string]float64{"none": 0, "low": low, "mid": slope, "high": high} {
		growth := s * 365.25 / level
		o.put(path+".colocation["+k+"].percent_a_year", 100*growth)
		o.about(path+".colocation["+k+"].kilowatts", p99*1.1/1000*(1+growth), bin*p99*1.1/1000*(1+math.Abs(growth)))
	}
}
