package bmcsim

// RedfishShape is which part of Redfish's history a BMC shows.
type RedfishShape uint8

// Shapes of Redfish trees.
const (
	// ShapeLegacy has Thermal and Power documents and nothing newer; logs under the manager; no humidity, because those
	// documents have no place for it.
	ShapeLegacy RedfishShape = iota
	// ShapeModern has Sensors, ThermalSubsystem with LeakDetection, PowerSubsystem and EnvironmentMetrics, and no Thermal or
	// Power at all.
	ShapeModern
	// ShapeMixed has both: every fan, supply and temperature twice, sensor units in the maker's own words, a log without
	// entries beside the one with them.
	ShapeMixed
)

// IPMIShape is which habits an IPMI firmware has.
type IPMIShape uint8

// Shapes of IPMI sensor repositories.
const (
	// ShapeWhitebox: full records for what is measured, one compact record for each discrete sensor; the leak rope is a
	// Cooling Device with state deasserted/asserted.
	ShapeWhitebox IPMIShape = iota
	// ShapeBoard: fans by redundancy too, power in steps of 4 W, a margin to the throttling point in two's complement, the
	// leak rope is an OEM sensor type.
	ShapeBoard
	// ShapeBlade: compact records shared by several sensors, fans in percent, event-only records, the leak rope reports
	// severities.
	ShapeBlade
)

// Profile is a make of server: what it holds and how its BMC shows it.
type Profile struct {
	Name         string // "legacy", …
	Manufacturer string
	Model        string
	BMCModel     string
	BMCFirmware  string
	BIOS         string

	Fans, PSUs, Drives, DIMMs, CPUs int
	Leaks                           []string // names of its leak detectors
	NICs                            int      // network adapters of two ports, the second without a cable
	DriveMetrics                    bool     // its drives link DriveMetrics
	OneLog                          bool     // its SEL is its only log service
	Room                            bool     // it has sensors for the air of the room: "Room Temp", "Room Humidity"

	Redfish RedfishShape
	IPMI    IPMIShape

	// FansInPercent makes the Thermal document give fan speeds in percent instead of rpm.
	FansInPercent bool
	// LeakBoolean shows leaks in the Thermal document as HPE's Oem boolean, the only place a legacy tree has.
	LeakBoolean bool
	// SixBitNames packs sensor names in capital letters as 6-bit ASCII, with the length in characters as the specification
	// says; ipmitool 1.8.19 misreads those.
	SixBitNames bool
}

// The profiles. Makers and models are invented; shapes are those of the machines named in the comments.
var (
	// ProfileLegacy is shaped like a server with iDRAC 9.
	ProfileLegacy = Profile{
		Name: "legacy", Manufacturer: "Sumbawa Systems", Model: "Rinjani R7", BMCModel: "RAC 9", BMCFirmware: "6.10.30.00", BIOS: "1.9.2",
		Fans: 6, PSUs: 2, Drives: 4, DIMMs: 8, CPUs: 2, Redfish: ShapeLegacy, IPMI: ShapeBlade, Leaks: []string{"Leak Rope"}, Room: false,
	}
	// ProfileLegacyPercent is shaped like a server with iLO 6: fan speeds in percent, leaks as one OEM boolean.
	ProfileLegacyPercent = Profile{
		Name: "legacy-percent", Manufacturer: "Flores Compute", Model: "Egon DL3", BMCModel: "LOM 6", BMCFirmware: "1.67", BIOS: "A55 v2.1",
		Fans: 7, PSUs: 2, Drives: 2, DIMMs: 8, CPUs: 2, Redfish: ShapeLegacy, IPMI: ShapeBoard, Leaks: []string{"Liquid Leak"},
		FansInPercent: true, LeakBoolean: true,
	}
	// ProfileModern is shaped like an NVIDIA tray with OpenBMC.
	ProfileModern = Profile{
		Name: "modern", Manufacturer: "Kelimutu Open Hardware", Model: "Tray 2", BMCModel: "AST2600", BMCFirmware: "2.15.0", BIOS: "0.4.1",
		Fans: 6, PSUs: 2, Drives: 4, DIMMs: 8, CPUs: 2, Redfish: ShapeModern, IPMI: ShapeBoard,
		Leaks: []string{"LeakDetector 0 ColdPlate", "LeakDetector 0 Manifold"}, Room: true,
	}
	// ProfileMixed is shaped like a ThinkSystem with XCC.
	ProfileMixed = Profile{
		Name: "mixed", Manufacturer: "Tambora Servers", Model: "SR 650 T", BMCModel: "XC Controller", BMCFirmware: "2.83", BIOS: "U8E122",
		Fans: 5, PSUs: 2, Drives: 2, DIMMs: 8, CPUs: 2, Redfish: ShapeMixed, IPMI: ShapeBlade,
		Leaks: []string{"Leak Sensor 1"}, Room: true,
	}
	// ProfileWhitebox is shaped like a whitebox server with an AMI BMC.
	ProfileWhitebox = Profile{
		Name: "whitebox", Manufacturer: "Agung Boards", Model: "X12 2U", BMCModel: "AST2500", BMCFirmware: "1.74", BIOS: "3.2",
		Fans: 6, PSUs: 2, Drives: 4, DIMMs: 8, CPUs: 2, Redfish: ShapeLegacy, IPMI: ShapeWhitebox, Leaks: []string{"Water Leak"}, Room: true,
	}
	// ProfileBoard is shaped like an Intel server board.
	ProfileBoard = Profile{
		Name: "board", Manufacturer: "Kerinci Boards", Model: "S2600 K", BMCModel: "Pilot 4", BMCFirmware: "1.93", BIOS: "02.01.0012",
		Fans: 8, PSUs: 2, Drives: 2, DIMMs: 12, CPUs: 2, Redfish: ShapeLegacy, IPMI: ShapeBoard, Leaks: []string{"Rope Leak"},
	}
	// ProfileBlade is shaped like a dense server whose SDRs are shared.
	ProfileBlade = Profile{
		Name: "blade", Manufacturer: "Semeru Dense", Model: "B4", BMCModel: "iRMC 5", BMCFirmware: "3.37", BIOS: "R1.22",
		Fans: 4, PSUs: 2, Drives: 4, DIMMs: 4, CPUs: 1, Redfish: ShapeMixed, IPMI: ShapeBlade, Leaks: []string{"Leak Zone 1"}, Room: true,
	}
)

// ProfileFleet is the common two-socket server of a fleet, as large as those whose requests are counted: 26 drives, 24
// memory modules, 3 network adapters.
var ProfileFleet = Profile{
	Name: "fleet", Manufacturer: "Sumbawa Systems", Model: "Rinjani R9", BMCModel: "RAC 9", BMCFirmware: "7.00.00.00", BIOS: "1.9.2",
	Fans: 12, PSUs: 2, Drives: 26, DIMMs: 24, CPUs: 2, NICs: 3, DriveMetrics: true, OneLog: true, Redfish: ShapeLegacy, IPMI: ShapeBlade,
}

// Profiles lists every profile.
func Profiles() []Profile {
	return []Profile{ProfileLegacy, ProfileLegacyPercent, ProfileModern, ProfileMixed, ProfileWhitebox, ProfileBoard, ProfileBlade}
}
