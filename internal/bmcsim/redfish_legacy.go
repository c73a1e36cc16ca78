package bmcsim

// thermal is the deprecated Thermal document: every fan and temperature in two arrays.
func (b *treeBuilder) thermal() {
	p := b.ids.chassis + "/Thermal"
	b.add(p, "Thermal.v1_7_1.Thermal", "Thermal", func() doc {
		var fans, redundancySet []any
		for i, f := range b.s.Fans {
			id := p + "#/Fans/" + num(i)
			redundancySet = append(redundancySet, link(id))
			fans = append(fans, b.legacyFan(f, i, id))
		}
		var temps []any
		temp := func(name, context string, v any, st doc, warn, crit any) {
			i := len(temps)
			temps = append(temps, doc{
				"@odata.id": p + "#/Temperatures/" + num(i), "MemberId": num(i), "Name": name, "SensorNumber": 10 + i, "PhysicalContext": context,
				"ReadingCelsius": v, "Status": st, "UpperThresholdNonCritical": warn, "UpperThresholdCritical": crit, "UpperThresholdFatal": nil,
				"LowerThresholdNonCritical": nil, "LowerThresholdCritical": nil, "MinReadingRangeTemp": nil, "MaxReadingRangeTemp": nil,
			})
		}
		temp("Inlet Temp", "Intake", round(b.s.InletC, 1), status("OK", "Enabled"), inletUpperCaution, inletUpperCritical)
		temp("Exhaust Temp", "Exhaust", round(b.s.ExhaustC, 0), status("OK", "Enabled"), 70, 75)
		if b.p.Room {
			temp("Room Temp", "Room", round(b.s.RoomTempC, 1), status("OK", "Enabled"), nil, nil)
		}
		for _, c := range b.s.CPUs {
			temp(c.Name+" Temp", "CPU", b.ifOn(round(c.TempC, 0)), b.hostStatus("OK"), cpuUpperCaution, cpuUpperCritical)
		}
		// A socket that this make names and this machine does not have.
		temp("GPU1 Temp", "GPU", nil, status("", "Absent"), nil, nil)
		d := doc{
			"Fans": fans, "Fans@odata.count": len(fans), "Temperatures": temps, "Temperatures@odata.count": len(temps),
			"Redundancy": []any{doc{
				"@odata.id": p + "#/Redundancy/0", "MemberId": "0", "Name": "System Board Fan Redundancy", "Mode": "N+m", "MinNumNeeded": len(fans) - 1,
				"MaxNumSupported": len(fans), "RedundancySet": redundancySet, "Status": status(okOr(b.s.FanRedundant, "Warning"), "Enabled"),
			}},
		}
		if b.p.LeakBoolean {
			wet := false
			var v any
			for _, l := range b.s.Leaks {
				wet = wet || l.State == LeakWet
				if l.State != LeakFault {
					v = wet
				}
			}
			d["Oem"] = doc{"Hpe": doc{"@odata.type": "#HpeThermalExt.v2_1_0.HpeThermalExt", "FanPercentMinimum": 0, "LiquidCoolingLeakageDetected": v}}
		}
		return d
	})
}

func (b *treeBuilder) legacyFan(f FanState, i int, id string) doc {
	d := doc{
		"@odata.id": id, "MemberId": num(i), "Name": f.Name, "FanName": f.Name, "PhysicalContext": "SystemBoard", "HotPluggable": true,
		"SensorNumber": 50 + i,
	}
	switch {
	case f.Absent:
		d["Reading"], d["Status"] = nil, status("", "Absent")
	case !b.s.HostOn:
		d["Reading"], d["Status"] = nil, status("", "StandbyOffline")
	default:
		d["Reading"], d["Status"] = f.RPM, status(okOr(!f.Failed, "Critical"), "Enabled")
	}
	if b.p.FansInPercent {
		d["ReadingUnits"] = "Percent"
		if d["Reading"] != nil {
			d["Reading"] = round(f.Duty, 0)
		}
		return d
	}
	d["ReadingUnits"], d["LowerThresholdNonCritical"], d["LowerThresholdCritical"] = "RPM", fanLowCaution, fanLowCritical
	return d
}

func okOr(ok bool, otherwise string) string {
	if ok {
		return "OK"
	}
	return otherwise
}

func (b *treeBuilder) ifOn(v float64) any {
	if !b.s.HostOn {
		return nil
	}
	return v
}

// aboveZero is a number, or null for 0.
func aboveZero(v float64) any {
	if v <= 0 {
		return nil
	}
	return v
}

// power is the deprecated Power document.
func (b *treeBuilder) power() {
	p := b.ids.chassis + "/Power"
	b.add(p, "Power.v1_7_1.Power", "Power", func() doc {
		var supplies, set []any
		for i, s := range b.s.PSUs {
			id := p + "#/PowerSupplies/" + num(i)
			set = append(set, link(id))
			supplies = append(supplies, b.legacyPSU(s, i, id))
		}
		var volts []any
		volt := func(name string, v any, st doc, low, high float64) {
			i := len(volts)
			volts = append(volts, doc{
				"@odata.id": p + "#/Voltages/" + num(i), "MemberId": num(i), "Name": name, "SensorNumber": 80 + i, "ReadingVolts": v, "Status": st,
				"LowerThresholdCritical": low, "UpperThresholdCritical": high, "PhysicalContext": "SystemBoard",
			})
		}
		volt("12V", b.ifOn(round(b.s.Volts12, 3)), b.hostStatus("OK"), 10.8, 13.2)
		volt("5V", b.ifOn(round(b.s.Volts5, 3)), b.hostStatus("OK"), 4.5, 5.5)
		volt("3.3V Standby", round(b.s.Volts33Standby, 3), status("OK", "Enabled"), 3, 3.6)
		return doc{
			"PowerControl": []any{doc{
				"@odata.id": p + "#/PowerControl/0", "MemberId": "0", "Name": "System Power Control", "PowerConsumedWatts": b.s.PowerWatts,
				"PowerCapacityWatts": 1100 * len(supplies), "PowerLimit": doc{"LimitInWatts": aboveZero(b.s.PowerLimitWatts)},
				"PowerMetrics": doc{"IntervalInMin": 1, "AverageConsumedWatts": b.s.PowerWatts, "MaxConsumedWatts": b.s.PowerWatts + 5, "MinConsumedWatts": max(b.s.PowerWatts-5, 0)},
			}},
			"PowerSupplies": supplies, "PowerSupplies@odata.count": len(supplies), "Voltages": volts, "Voltages@odata.count": len(volts),
			"Redundancy": []any{doc{
				"@odata.id": p + "#/Redundancy/0", "MemberId": "0", "Name": "System Board PS Redundancy", "Mode": "N+m", "MinNumNeeded": 1,
				"MaxNumSupported": len(supplies), "RedundancySet": set, "Status": status(okOr(b.s.PSURedundant, "Warning"), "Enabled"),
			}},
		}
	})
}

func (b *treeBuilder) legacyPSU(s PSUState, i int, id string) doc {
	d := doc{"@odata.id": id, "MemberId": num(i), "Name": s.Name}
	if s.Absent {
		d["Status"] = status("", "Absent")
		return d
	}
	d["Manufacturer"], d["Model"], d["SerialNumber"], d["FirmwareVersion"] = "Sim Power", s.Model, s.Serial, "00.1B.53"
	d["PowerCapacityWatts"], d["PowerSupplyType"], d["LineInputVoltageType"] = s.CapacityWatts, "AC", "AC240V"
	d["LineInputVoltage"], d["PowerInputWatts"] = round(s.InputVolts, 0), s.InputWatts
	d["PowerOutputWatts"], d["LastPowerOutputWatts"] = s.OutputWatts, s.OutputWatts
	d["HotPluggable"] = true
	switch {
	case s.Failed:
		d["Status"] = status("Critical", "Enabled")
	case s.InputLost:
		d["Status"] = status("Critical", "UnavailableOffline")
	default:
		d["Status"] = status("OK", "Enabled")
	}
	return d
}
