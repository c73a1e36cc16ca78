package bmcsim

import (
	"encoding/binary"
	"slices"
)

// Completion codes (IPMI v2.0 table 5-2).
const (
	ccOK            = 0x00
	ccNoPowerLimit  = 0x80 // of DCMI Get Power Limit
	ccPrivLimit     = 0x81 // of Set Session Privilege Level
	ccBusy          = 0xc0
	ccInvalid       = 0xc1
	ccLength        = 0xc7
	ccParameter     = 0xc9
	ccReadTooLong   = 0xca
	ccNotPresent    = 0xcb
	ccField         = 0xcc
	ccReservation   = 0xc5
	ccPrivilege     = 0xd4
	maxReplyData    = 255
	manufacturerID  = 32473 // the number RFC 5612 keeps for examples
	dcmiGroup       = 0xdc
	netApp          = 0x06
	netChassis      = 0x00
	netSensor       = 0x04
	netStorage      = 0x0a
	netGroup        = 0x2c
	selfAddress     = 0x20
	channelLAN      = 1
	privilegeUser   = 2
	sdrVersion      = 0x51
	selVersion      = 0x51
	supportReserve  = 0x02
	supportOverflow = 0x80
)

// changing are commands that change a BMC or its host; all are refused and counted.
var changing = map[uint16]bool{
	0x0002: true, 0x0003: true, 0x0004: true, 0x0005: true, 0x0006: true, 0x0007: true, 0x0008: true, // chassis control, identify, boot
	0x0602: true, 0x0603: true, 0x0622: true, 0x0624: true, 0x0640: true, 0x0643: true, 0x0645: true, 0x0647: true, // resets, watchdog, users
	0x0410: true, 0x0412: true, 0x0424: true, 0x0426: true, 0x0428: true, 0x042e: true, 0x0430: true, // PEF, hysteresis, thresholds, event enable
	0x0a12: true, 0x0a24: true, 0x0a25: true, 0x0a26: true, 0x0a27: true, 0x0a29: true, 0x0a2a: true, 0x0a2b: true, // FRU write, SDR add, delete, clear
	0x0a44: true, 0x0a45: true, 0x0a46: true, 0x0a47: true, 0x0a49: true, 0x0a5d: true, // SEL add, delete, clear, set time
	0x0c01: true,                             // LAN configuration
	0x2c04: true, 0x2c05: true, 0x2c08: true, // DCMI power limit, asset tag
}

func sum(b []byte) byte {
	var c byte
	for _, x := range b {
		c += x
	}
	return -c
}

// ipmiMessage is a message with its two checksums (IPMI v2.0 13.8).
func ipmiMessage(to, netfnLUN, from, seqLUN, cmd byte, data []byte) []byte {
	out := []byte{to, netfnLUN, sum([]byte{to, netfnLUN}), from, seqLUN, cmd}
	out = append(out, data...)
	return append(out, sum(out[3:]))
}

// message answers an IPMI message; nil for a malformed one. x is nil outside of a session.
func (s *IPMIServer) message(b []byte, x *ipmiSession) []byte {
	if len(b) < 7 || sum(b[:3]) != 0 || sum(b[3:]) != 0 || b[0] != selfAddress || b[1]>>2&1 != 0 {
		return nil
	}
	cmd := b[5]
	cc, out, silent := s.answer(b[1]>>2, cmd, b[1]&3, b[6:len(b)-1], x)
	if silent {
		return nil
	}
	return ipmiMessage(b[3], b[1]|4, b[0], b[4], cmd, append([]byte{cc}, out...))
}

// Execute runs a command as in an open session, without the wire: its completion code, and what follows it if that is 0.
func (s *IPMIServer) Execute(netfn, cmd, lun byte, data []byte) (code byte, out []byte, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answer(netfn, cmd, lun, data, &ipmiSession{role: s.o.Privilege, privilege: s.o.Privilege})
}

func (s *IPMIServer) answer(netfn, cmd, lun byte, data []byte, x *ipmiSession) (cc byte, out []byte, silent bool) {
	key := uint16(netfn)<<8 | uint16(cmd)
	s.stats.ByCommand[key]++
	switch {
	case x == nil && key != 0x0638 && key != 0x0654 && key != 0x0637:
		cc = ccPrivilege
	case x != nil && s.f.busy > 0:
		s.f.busy--
		cc = ccBusy
	case slices.Contains(s.o.Refuse, key):
		cc = ccInvalid
	case changing[key]:
		s.stats.Writes++
		cc = ccPrivilege
	case s.o.Answer != nil && (netfn != netApp || key == 0x0601 || key == 0x0608 || key == 0x0637):
		cc, out, silent = s.o.Answer(netfn, cmd, lun, data)
	default:
		cc, out = s.command(key, lun, data, x)
	}
	if cc != ccOK {
		out = nil
	}
	return cc, out, silent
}

func (s *IPMIServer) command(key uint16, lun byte, d []byte, x *ipmiSession) (byte, []byte) {
	switch key >> 8 {
	case netApp:
		return s.app(byte(key), d, x)
	case netChassis:
		if byte(key) == 0x01 {
			return ccOK, s.chassisStatus()
		}
	case netSensor:
		if lun != 0 {
			return ccNotPresent, nil
		}
		return s.sensorCommand(byte(key), d)
	case netStorage:
		return s.storage(byte(key), d)
	case netGroup:
		if len(d) > 0 && d[0] == dcmiGroup {
			return s.dcmi(byte(key), d)
		}
	}
	return ccInvalid, nil
}

func (s *IPMIServer) app(cmd byte, d []byte, x *ipmiSession) (byte, []byte) {
	switch cmd {
	case 0x01: // Get Device ID
		major, minor := bmcVersion(s.m.profile.BMCFirmware)
		// chassis, FRU, SEL, SDR repository, sensors
		return ccOK, []byte{0x20, 0x81, major, minor, 0x02, 0x8f, manufacturerID & 0xff, manufacturerID >> 8, 0, byte(s.m.profile.IPMI), 1, 0, 0, 0, 0}
	case 0x08, 0x37: // Get Device GUID, Get System GUID
		return ccOK, slices.Clone(s.m.id.guid[:])
	case 0x38: // Get Channel Authentication Capabilities: RMCP+ only, non-null names
		if len(d) < 2 {
			return ccLength, nil
		}
		kg := byte(0)
		if len(s.o.Kg) > 0 {
			kg = 0x20
		}
		return ccOK, []byte{channelLAN, 0x80, 0x04 | kg, 0x02, 0, 0, 0, 0}
	case 0x54: // Get Channel Cipher Suites
		if len(d) < 3 {
			return ccLength, nil
		}
		return ccOK, s.suiteRecords(int(d[2] & 0x3f))
	case 0x3b: // Set Session Privilege Level
		if len(d) < 1 {
			return ccLength, nil
		}
		want := d[0] & 0x0f
		switch {
		case want == 0:
		case want > s.o.Privilege || want > x.role&0x0f:
			return ccPrivLimit, nil
		default:
			x.privilege = want
		}
		return ccOK, []byte{x.privilege}
	case 0x3c: // Close Session
		if len(d) < 4 {
			return ccLength, nil
		}
		id := binary.LittleEndian.Uint32(d)
		if id != x.id {
			return 0x87, nil // invalid session ID
		}
		delete(s.sessions, id)
		s.stats.Logouts++
		return ccOK, nil
	case 0x3d: // Get Session Info
		active := byte(0)
		for _, y := range s.sessions {
			active += byte(boolInt(y.active))
		}
		return ccOK, []byte{1, byte(s.o.MaxSessions), active, 2, x.privilege, 0x10 | channelLAN}
	}
	return ccInvalid, nil
}

// suiteRecords are the cipher suites as 16-byte slices of one list (IPMI v2.0 22.15).
func (s *IPMIServer) suiteRecords(index int) []byte {
	var all []byte
	for _, n := range s.o.Suites {
		c := cipherSuites[n]
		all = append(all, 0xc0, byte(n), c.auth, 0x40|c.integrity, 0x80|c.confidentiality)
	}
	from := min(index*16, len(all))
	return append([]byte{channelLAN}, all[from:min(from+16, len(all))]...)
}

// bmcVersion is a firmware version as two bytes, the second in BCD.
func bmcVersion(v string) (major, minor byte) {
	n, part := [2]int{}, 0
	for _, c := range v {
		if c == '.' {
			if part++; part > 1 {
				break
			}
			continue
		}
		if c >= '0' && c <= '9' {
			n[part] = min(n[part]*10+int(c-'0'), 99)
		}
	}
	return byte(n[0]), byte(n[1]/10<<4 | n[1]%10)
}

func (s *IPMIServer) chassisStatus() []byte {
	st := s.state()
	power, misc := byte(boolInt(st.HostOn)), byte(boolInt(st.Intrusion))
	for _, f := range st.Fans {
		if f.Failed {
			misc |= 0x08
		}
	}
	for _, d := range st.Drives {
		if d.Failed {
			misc |= 0x04
		}
	}
	for _, p := range st.PSUs {
		if p.Failed {
			power |= 0x08 // power fault
		}
	}
	return []byte{0x20 | power, 0, misc, 0} // restore policy: previous state
}

// dcmi answers Get DCMI Capabilities Info, Get Power Reading and Get Power Limit.
func (s *IPMIServer) dcmi(cmd byte, d []byte) (byte, []byte) {
	switch cmd {
	case 0x01:
		if len(d) < 2 {
			return ccLength, nil
		}
		head := []byte{dcmiGroup, 1, 5, 2} // DCMI 1.5, parameter revision 2
		switch d[1] {
		case 1: // supported: power management; in-band, out-of-band
			return ccOK, append(head, 0, 0x01, 0x07)
		case 2:
			return ccOK, append(head, 0, 2, 0, 0, 0)
		case 5: // rolling averages: none
			return ccOK, append(head, 0)
		}
		return ccField, nil
	case 0x02:
		if len(d) < 4 {
			return ccLength, nil
		}
		if d[1] != 1 {
			return ccField, nil
		}
		now := s.o.Now()
		w := s.state().PowerWatts
		if s.powerMax == 0 {
			s.powerMin, s.powerMax = w, w
		}
		s.powerMin, s.powerMax = min(s.powerMin, w), max(s.powerMax, w)
		out := []byte{dcmiGroup}
		for _, v := range []float64{w, s.powerMin, s.powerMax, w} {
			out = binary.LittleEndian.AppendUint16(out, uint16(v))
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(now.Unix()))
		out = binary.LittleEndian.AppendUint32(out, 1000) // ms
		return ccOK, append(out, 0x40)                    // measurement is active
	case 0x03:
		if len(d) < 3 {
			return ccLength, nil
		}
		w := s.state().PowerLimitWatts
		if w <= 0 {
			return ccNoPowerLimit, nil
		}
		out := binary.LittleEndian.AppendUint16([]byte{dcmiGroup, 0, 0, 0x11}, uint16(w)) // beyond it: an entry in the log
		out = binary.LittleEndian.AppendUint32(out, 1000)                                 // ms to correct it
		return ccOK, append(out, 0, 0, 1, 0)                                              // s between samples
	}
	return ccInvalid, nil
}

func (s *IPMIServer) sensorCommand(cmd byte, d []byte) (byte, []byte) {
	if cmd != 0x23 && cmd != 0x25 && cmd != 0x27 && cmd != 0x2d {
		return ccInvalid, nil
	}
	if len(d) < 1 {
		return ccLength, nil
	}
	x := s.byNum[d[0]]
	if x == nil || x.eventOnly {
		return ccNotPresent, nil
	}
	switch cmd {
	case 0x23: // Get Sensor Reading Factors
		f := x.factors()
		return ccOK, append([]byte{0}, f[:]...)
	case 0x25: // Get Sensor Hysteresis
		return ccOK, []byte{0, 0}
	case 0x27: // Get Sensor Thresholds
		if !x.full {
			return ccInvalid, nil
		}
		mask, raw := x.thresholds()
		return ccOK, append([]byte{mask}, raw[:]...)
	}
	return ccOK, x.reading(s.state(), int(d[0]-x.num))
}

func (s *IPMIServer) storage(cmd byte, d []byte) (byte, []byte) {
	switch cmd {
	case 0x10, 0x11:
		return s.fru(cmd, d)
	case 0x20, 0x22, 0x23, 0x28:
		return s.sdr(cmd, d)
	case 0x40, 0x42, 0x43, 0x48, 0x5c:
		return s.sel(cmd, d)
	}
	return ccInvalid, nil
}
