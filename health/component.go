package health

// State is how a component is. Unknown is the zero value and is never ok.
type State uint8

const (
	Unknown State = iota
	OK
	Warning
	Critical
)

var stateNames = [...]string{"unknown", "ok", "warning", "critical"}

func (s State) String() string               { return enumName(stateNames[:], uint8(s)) }
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (s *State) UnmarshalText(b []byte) error {
	return enumParse("state", stateNames[:], b, (*uint8)(s))
}

// Rank orders states so that max() is the worst: 0 ok, 1 unknown, 2 warning, 3 critical (the InfluxDB field `state`).
func (s State) Rank() int {
	switch s {
	case OK:
		return 0
	case Warning:
		return 2
	case Critical:
		return 3
	}
	return 1
}

// Worst is the worst of the given states, Unknown for none.
func Worst(states ...State) State {
	if len(states) == 0 {
		return Unknown
	}
	w := states[0]
	for _, s := range states[1:] {
		if s.Rank() > w.Rank() {
			w = s
		}
	}
	return w
}

// Presence of a component in its place.
type Presence uint8

const (
	PresenceUnknown Presence = iota
	Present
	Absent
)

var presenceNames = [...]string{"unknown", "present", "absent"}

func (p Presence) String() string               { return enumName(presenceNames[:], uint8(p)) }
func (p Presence) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
func (p *Presence) UnmarshalText(b []byte) error {
	return enumParse("presence", presenceNames[:], b, (*uint8)(p))
}

// HostPower is whether the host behind the BMC runs. With the host off, fans, rails and drives are unknown, not ok.
type HostPower uint8

const (
	HostPowerUnknown HostPower = iota
	HostOn
	HostOff
)

var hostPowerNames = [...]string{"unknown", "on", "off"}

func (p HostPower) String() string               { return enumName(hostPowerNames[:], uint8(p)) }
func (p HostPower) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
func (p *HostPower) UnmarshalText(b []byte) error {
	return enumParse("host power", hostPowerNames[:], b, (*uint8)(p))
}

// Class of a component. The list is closed.
type Class string

const (
	ClassFan               Class = "fan"
	ClassPSU               Class = "psu"
	ClassPowerUnit         Class = "power_unit"
	ClassDrive             Class = "drive"
	ClassVolume            Class = "volume"
	ClassStorageController Class = "storage_controller"
	ClassTemperature       Class = "temperature"
	ClassVoltage           Class = "voltage"
	ClassCurrent           Class = "current"
	ClassPower             Class = "power"
	ClassHumidity          Class = "humidity"
	ClassLeakDetector      Class = "leak_detector"
	ClassFlow              Class = "flow"
	ClassPump              Class = "pump"
	ClassMemory            Class = "memory"
	ClassCPU               Class = "cpu"
	ClassGPU               Class = "gpu"
	ClassPCIe              Class = "pcie"
	ClassNIC               Class = "nic"
	ClassBattery           Class = "battery"
	ClassIntrusion         Class = "intrusion"
	ClassChassis           Class = "chassis"
	ClassSystem            Class = "system"
	ClassBMC               Class = "bmc"
	ClassLog               Class = "log"
	ClassSensor            Class = "sensor" // anything else
)

// Classes lists every class.
var Classes = []Class{
	ClassFan, ClassPSU, ClassPowerUnit, ClassDrive, ClassVolume, ClassStorageController, ClassTemperature, ClassVoltage,
	ClassCurrent, ClassPower, ClassHumidity, ClassLeakDetector, ClassFlow, ClassPump, ClassMemory, ClassCPU, ClassGPU,
	ClassPCIe, ClassNIC, ClassBattery, ClassIntrusion, ClassChassis, ClassSystem, ClassBMC, ClassLog, ClassSensor,
}

// ComponentID is unique in its target and stable over visits and restarts: "fan/Fan.Embedded.1A".
type ComponentID string

// Component is one part of a machine as one visit saw it.
//
// State and Presence are those of this visit, unless StateNotRead says that it only described the part. The descriptive
// fields may be empty in a visit whose tiers do not read them; Known then keeps what was read before (KnownComponent.Merge).
type Component struct {
	ID       ComponentID
	Class    Class
	Name     string
	Location string
	Context  string // what air or surface a sensor is in, as the service says: "room", "intake", "exhaust", "cold_plate", …

	Manufacturer, Model, Serial, PartNumber, Firmware string

	Presence Presence
	State    State
	// StateNotRead: this visit read what the part is (its serial, its firmware), not how it is. Presence, State and Status
	// then mean nothing.
	StateNotRead bool
	// Status is the service's own words for the state ("Enabled/Critical", "0x01 lower critical going low"), kept as
	// evidence. At most MaxText bytes.
	Status string

	// Conditions are the named conditions the service states beyond a plain state: DetectorState, FailurePredicted,
	// redundancy, IPMI offsets. The driver normalises them; detect judges.
	Conditions []Condition

	// Place is the collection that lists this component ("/redfish/v1/Chassis/1/Thermal#Fans", "sdr"). If a later
	// snapshot has this place in its Scope and not the component, the component is gone.
	Place string
	// Of is the part that this one is a sensor of, if it is a sensor of exactly one: what is wrong with that part is wrong with it too.
	Of ComponentID `json:",omitzero"`
	// Tier is the most frequent tier that reads this component. TierMoved: from now on it is this one, also where it was a
	// more frequent one before: a part that is too slow for it, or whose value alone is still read then.
	Tier      Tier
	TierMoved bool `json:",omitempty"`

	// CapacityBytes of a drive, volume or memory module, 0 if not told.
	CapacityBytes int64
}

// Shadows tells whether c only says that a part is there which o measures: IPMI boards have a presence sensor beside the speed of each
// fan. The two are one part.
func (c *Component) Shadows(o *Component) bool {
	return c.ID != o.ID && c.Class == o.Class && c.Place == o.Place && c.Location != "" && c.Location == o.Location && c.State == Unknown && o.State != Unknown
}

// Condition is one named thing a service says of a component. Severity SeverityOK means: read, and not so. A kind that is
// not named was not read in this visit: it asserts nothing and clears nothing.
type Condition struct {
	Kind     Kind
	Severity Severity
	Evidence string // the service's words: `DetectorState=Critical`
}

// MaxText bounds every free text taken from a BMC; drivers cut longer ones.
const MaxText = 1024

// Identity of a machine; empty strings were not told.
type Identity struct {
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	Serial       string `json:"serial,omitempty"`
	SKU          string `json:"sku,omitempty"`
	UUID         string `json:"uuid,omitempty"`
	AssetTag     string `json:"asset_tag,omitempty"`
	HostName     string `json:"host_name,omitempty"`
	BIOS         string `json:"bios,omitempty"`
	BMCModel     string `json:"bmc_model,omitempty"`
	BMCFirmware  string `json:"bmc_firmware,omitempty"`
}
