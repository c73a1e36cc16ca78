package capacity

import (
	"time"

	"dewline/health"
	"dewline/report"
)

// Request says what to review.
type Request struct {
	From, Until time.Time
	Targets     []health.Target // the servers, chosen
	// Others are servers that were not chosen: with them in it a rack, feed or site draws more than is reviewed, and is held against no budget.
	Others []health.Target
	// Retired and NeverRead are servers that were left out: no longer configured, or configured and without any data.
	Retired, NeverRead []health.TargetID
	Selection          string // in words, for the report: "site bontang"; "" is all
	Sites, Racks       []Budget
	Feeds              []Feed
	Assets             map[health.TargetID]Asset
	Air                Air
	Changes            []Change
	Title, Reference   string
	GeneratedAt        time.Time // part of the input: the same input gives the same report
	Program, ConfigSum string
	MadeBy             string
}

// Budget of a site or rack.
type Budget struct {
	Name, Site  string
	VoltAmperes float64
	PowerFactor float64
	Sum         string // how it was made: "32 A × 230 V × 0.8"
}

// Feed is a breaker and what hangs on it.
type Feed struct {
	Budget
	Partner string
	// Serves tells whether a server is among those that it feeds; nil: any may be.
	Serves func(t health.Target) bool
	// Feeds tells whether a power supply of a server is on it.
	Feeds func(t health.Target, psu health.ComponentID, name string) bool
}

// Asset is what no BMC knows of a server. Zero: not told.
type Asset struct{ Installed, WarrantyUntil time.Time }

// Air is what the servers' air is held against.
type Air struct {
	Edition, Class         string
	Recommended, Allowable Envelope
	HasAllowable           bool
}

// Envelope is limits of air. Wet and Dry of 0 are none.
type Envelope struct {
	Low     float64 `json:"low_celsius"`
	High    float64 `json:"high_celsius"`
	DewLow  float64 `json:"dew_point_low_celsius"`
	DewHigh float64 `json:"dew_point_high_celsius"`
	Dry     float64 `json:"relative_humidity_low_percent,omitempty"`
	Wet     float64 `json:"relative_humidity_high_percent,omitempty"`
}

// Change is servers that are added or removed in thought: N that draw what those of Like drew.
type Change struct {
	Text  string // as it was asked for: "4 x db in A2"
	N     int    // negative: so many of Like are removed
	Like  []health.TargetID
	Racks []Place // where; none: each rack of the site
}

// Place is a rack of a site.
type Place struct{ Site, Rack string }

// Report is the model; its JSON is an interface (docs/SCHEMA.md).
type Report struct {
	Version     int           `json:"version"`
	Kind        string        `json:"kind"` // "capacity"
	Simulated   bool          `json:"simulated"`
	Title       string        `json:"title"`
	Reference   string        `json:"reference,omitempty"`
	GeneratedAt time.Time     `json:"generated_at"`
	Program     string        `json:"program"`
	ConfigSum   string        `json:"config_sha256,omitempty"`
	MadeBy      string        `json:"made_by,omitempty"`
	Source      string        `json:"source"`
	Lacks       []report.Lack `json:"source_lacks"`
	Selection   string        `json:"selection,omitempty"`
	From        time.Time     `json:"from"`
	Until       time.Time     `json:"until"`
	DataFrom    time.Time     `json:"data_from,omitzero"`  // the first reading in that time
	DataUntil   time.Time     `json:"data_until,omitzero"` // the end of the step of the last one
	Days        float64       `json:"days_with_data"`      // from DataFrom to DataUntil, less whole days in which nothing was read
	Step        float64       `json:"step_seconds"`
	// Stopped is for how long of the time with data dewline did not run; nil: the source does not tell.
	Stopped *float64 `json:"dewline_not_running_hours,omitempty"`

	Decision    Decision     `json:"decision"`
	Servers     []Server     `json:"servers"`
	Groups      []Group      `json:"groups"`
	WhatIf      []WhatIf     `json:"what_if"`
	Drives      []Drive      `json:"drives"`
	DriveModels []DriveModel `json:"drive_models"`
	Capacity    []ClassSize  `json:"capacity"`
	Models      []Model      `json:"models"`
	Firmware    []Firmware   `json:"firmware"`
	Memory      []Memory     `json:"memory_errors"`
	Use         []Use        `json:"utilisation"`
	Reliability Reliability  `json:"reliability"`
	Resilience  Resilience   `json:"resilience"`
	AirLimits   AirLimits    `json:"air_limits"`
	Budgets     []BudgetUsed `json:"budgets"`
	Minimums    Minimums     `json:"forecast_minimums"`
}

// AirLimits are what the air was held against.
type AirLimits struct {
	Edition     string   `json:"edition"`
	Class       string   `json:"class"` // "none": no allowable limits
	Recommended Envelope `json:"recommended"`
	Allowable   Envelope `json:"allowable,omitzero"`
}

// BudgetUsed is a budget and how it was made.
type BudgetUsed struct {
	Kind        string  `json:"kind"`
	Site        string  `json:"site,omitempty"`
	Name        string  `json:"name"`
	VoltAmperes float64 `json:"volt_amperes"`
	PowerFactor float64 `json:"power_factor"`
	Sum         string  `json:"sum"`
}

// Minimums of a forecast.
type Minimums struct {
	Days     int     `json:"days"`
	Values   int     `json:"days_that_count"`
	DayShare float64 `json:"share_of_a_day"`
	Horizon  float64 `json:"horizon_windows"`
}

// Note is something that is said, in any language.
type Note struct {
	Key  string `json:"key"`
	Args []any  `json:"-"`
	// Detail is it in English.
	Detail string `json:"detail"`
}

// Decision is what the figures amount to.
type Decision struct {
	Buy    []Note `json:"buy"`
	Retire []Note `json:"retire"`
	Watch  []Note `json:"watch"`
	// Unseen is what could not be seen, and bounds all of it.
	Unseen []Note `json:"not_seen"`
}

// Server is one server's figures.
type Server struct {
	Target       health.TargetID `json:"target"`
	Site         string          `json:"site,omitempty"`
	Rack         string          `json:"rack,omitempty"`
	Position     int             `json:"position,omitempty"`
	Manufacturer string          `json:"manufacturer,omitempty"`
	Model        string          `json:"model,omitempty"`
	Serial       string          `json:"serial,omitempty"`
	First        time.Time       `json:"first_read,omitzero"`
	Watched      float64         `json:"watched_days"` // time in which anything of it was read
	Coverage     float64         `json:"coverage"`     // of the time with data
	Installed    time.Time       `json:"installed,omitzero"`
	Warranty     time.Time       `json:"warranty_until,omitzero"`
	Power        Power           `json:"power"`
	Cooling      Cooling         `json:"cooling"`
	Faults       int             `json:"faults"` // that opened in the window
}
