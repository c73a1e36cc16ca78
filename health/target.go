package health

// TargetID names one BMC for ever: it is the name in the configuration.
type TargetID string

// Driver names. Auto tries Redfish, then IPMI, once; the choice is then sticky.
const (
	DriverAuto    = "auto"
	DriverRedfish = "redfish"
	DriverIPMI    = "ipmi"
)

// Target is one BMC and where it stands. It holds no secret: cmd joins a target with its credential when a driver is
// opened.
type Target struct {
	ID       TargetID
	Address  string // https://HOST[:PORT], ipmi://HOST[:PORT], or HOST with driver auto
	Driver   string // auto, redfish, ipmi
	Site     string
	Rack     string
	Position int // lowest rack unit, 0 if not given
	Labels   map[string]string
	Expect   Expect
	Origin   Origin
}

// Expect is how many parts the operator says there are; nil means not said.
type Expect struct {
	Fans, PSUs, Drives *int
}

// Origin marks data that did not come from a real machine, in the store and in every report, for ever.
type Origin string

const (
	OriginReal   Origin = ""
	OriginDemo   Origin = "demo"
	OriginSim    Origin = "sim"
	OriginReplay Origin = "replay"
)

// Tier is one class of things read together at one rhythm.
type Tier uint8

const (
	TierReadings Tier = iota
	TierEvents
	TierHealth
	TierInventory
)

// AllTiers in order of urgency.
var AllTiers = [...]Tier{TierReadings, TierEvents, TierHealth, TierInventory}

var tierNames = [...]string{"readings", "events", "health", "inventory"}

func (t Tier) String() string { return enumName(tierNames[:], uint8(t)) }

func (t Tier) MarshalText() ([]byte, error)  { return []byte(t.String()), nil }
func (t *Tier) UnmarshalText(b []byte) error { return enumParse("tier", tierNames[:], b, (*uint8)(t)) }

// Tiers is a set of tiers.
type Tiers uint8

// TiersOf is the set of the given tiers.
func TiersOf(ts ...Tier) Tiers {
	var s Tiers
	for _, t := range ts {
		s |= 1 << t
	}
	return s
}

// EveryTier is the set of all tiers: a full visit.
var EveryTier = TiersOf(AllTiers[:]...)

func (s Tiers) Has(t Tier) bool      { return s&(1<<t) != 0 }
func (s Tiers) With(t Tier) Tiers    { return s | 1<<t }
func (s Tiers) Without(t Tier) Tiers { return s &^ (1 << t) }

// List is the tiers of the set in order of urgency.
func (s Tiers) List() []Tier {
	var l []Tier
	for _, t := range AllTiers {
		if s.Has(t) {
			l = append(l, t)
		}
	}
	return l
}
