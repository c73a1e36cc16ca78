package main

import (
	"context"
	"time"

	"dewline/collector/moisture"
	"dewline/drivers/ipmi"
	"dewline/health"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

// moistureRules are the rules of a configuration.
func moistureRules(m *config.Moisture) moisture.Rules {
	return moisture.Rules{
		HumidityError: m.HumidityError, TemperatureError: m.TemperatureError, MarginWarning: m.MarginWarning, MarginCritical: m.MarginCritical,
		Delay: m.AlarmDelay, MaxAge: m.MaxAge, Envelope: m.Class, Clean: m.Corrosion == "G1", Tape: m.Tape,
	}
}

// mappings say whose air is whose.
func mappings(cfg *config.Config) []moisture.Mapping {
	var out []moisture.Mapping
	for _, a := range cfg.Airs {
		out = append(out, moisture.Mapping{
			Target: a.Target, Humidity: a.Humidity, Temperature: a.Temperature, Targets: a.Targets, Site: a.Site, Racks: a.Racks,
		})
	}
	return out
}

// air is by what a target's air is judged, now.
func (d *service) air(t health.Target, _ time.Time) moisture.Input {
	in := moisture.Input{Rules: moistureRules(&d.config().Moisture)}
	in.Air, in.Mapped = d.rooms.Of(&t, &in.Rules)
	return in
}

// restoreAir takes up the air that was read before a restart. What is too old by now is known to be: it says nothing, and why.
func restoreAir(ctx context.Context, db *sqlite.DB, rooms *moisture.Rooms, maxAge time.Duration, now time.Time) error {
	sources := rooms.Sources()
	if len(sources) == 0 {
		return nil
	}
	return db.WalkVisits(ctx, sqlite.Range{Since: now.Add(-2 * maxAge), Targets: sources}, nil, func(v *health.Visit) error {
		rooms.Take(v)
		return nil
	})
}

// leakProfiles are what is known of IPMI leak sensors.
func leakProfiles(cfg []config.LeakSensor) []ipmi.LeakProfile {
	var out []ipmi.LeakProfile
	for _, l := range cfg {
		out = append(out, ipmi.LeakProfile{Sensor: l.Sensor, Wet: l.Wet, Dry: l.Dry})
	}
	return out
}
