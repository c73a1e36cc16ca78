package truth

import (
	"dewline/health"
	"dewline/internal/bmcsim"
)

// make_ is a make of server, with no more parts than an incident needs, and what its BMC shows of them.
type make_ struct {
	profile    bmcsim.Profile
	driver     string
	leak       bool // its detector can be read, not only its log
	room       bool // the air of the room can be
	vendorLeak bool // what the states of its detector mean, only the vendor knows
	present    bool // whether a fan is there can be
	// paths are the parts of its tree that can fail alone.
	paths map[string][]string
}

func small(p bmcsim.Profile) bmcsim.Profile {
	p.Fans, p.PSUs, p.Drives, p.DIMMs, p.CPUs = 3, 2, 1, 1, 1
	p.Leaks = p.Leaks[:1]
	return p
}

func (m make_) name() string { return m.profile.Name + "/" + m.driver }

// makes of servers. How dear one is to play is why some come more often.
var (
	legacyPercent = make_{profile: small(bmcsim.ProfileLegacyPercent), driver: health.DriverRedfish, leak: true, present: true, paths: legacyPaths("1", "1")}
	legacyPlain   = make_{profile: small(bmcsim.ProfileLegacy), driver: health.DriverRedfish, present: true, paths: legacyPaths("System.Embedded.1", "System.Embedded.1")}
	modern        = make_{profile: small(bmcsim.ProfileModern), driver: health.DriverRedfish, leak: true, room: true, present: true, vendorLeak: true, paths: map[string][]string{
		"thermal": {"/redfish/v1/Chassis/Tray_0/ThermalSubsystem/Fans"}, "psu": {"/redfish/v1/Chassis/Tray_0/PowerSubsystem/PowerSupplies"},
		"leak": {"/redfish/v1/Chassis/Tray_0/ThermalSubsystem/LeakDetection"}, "storage": {"/redfish/v1/Systems/system/Storage"},
	}}
	mixed = make_{profile: small(bmcsim.ProfileMixed), driver: health.DriverRedfish, leak: true, room: true, present: true, paths: map[string][]string{
		"leak": {"/redfish/v1/Chassis/1/LeakDetectors"}, "storage": {"/redfish/v1/Systems/1/Storage"},
	}}
	whitebox = make_{profile: small(bmcsim.ProfileWhitebox), driver: health.DriverIPMI, leak: true, room: true}
	board    = make_{profile: small(bmcsim.ProfileBoard), driver: health.DriverIPMI, leak: true, present: true, vendorLeak: true}
	blade    = make_{profile: small(bmcsim.ProfileBlade), driver: health.DriverIPMI, leak: true, room: true, present: true}
)

func legacyPaths(system, chassis string) map[string][]string {
	return map[string][]string{
		"thermal": {"/redfish/v1/Chassis/" + chassis + "/Thermal"}, "psu": {"/redfish/v1/Chassis/" + chassis + "/Power"},
		"storage": {"/redfish/v1/Systems/" + system + "/Storage"},
	}
}
