package bmcsim

// sensorDoc is one member of a Sensors collection.
type sensorDoc struct {
	id, name, kind, unit, context string
	value                         any
	status                        doc
	thresholds                    doc
	related                       string // the resource it is a sensor of
}

func thresholds(pairs ...any) doc {
	d := doc{}
	for i := 0; i+1 < len(pairs); i += 2 {
		d[pairs[i].(string)] = doc{"Reading": pairs[i+1]}
	}
	return d
}

func (b *treeBuilder) sensorList() []sensorDoc {
	on := status("OK", "Enabled")
	humidity := on
	switch b.s.HumidityAlarm {
	case 1:
		humidity = status("Warning", "Enabled")
	case 2:
		humidity = status("Critical", "Enabled")
	}
	list := []sensorDoc{
		{"temp_inlet", "Inlet Temp", "Temperature", "Cel", "Intake", round(b.s.InletC, 2), on, thresholds("UpperCaution", inletUpperCaution, "UpperCritical", inletUpperCritical, "LowerCaution", inletLowerCaution), ""},
		{"temp_exhaust", "Exhaust Temp", "Temperature", "Cel", "Exhaust", round(b.s.ExhaustC, 2), on, nil, ""},
		{"voltage_12v", "12V", "Voltage", "V", "SystemBoard", b.ifOn(round(b.s.Volts12, 3)), b.hostStatus("OK"), thresholds("LowerCritical", 10.8, "UpperCritical", 13.2), ""},
		{"voltage_5v", "5V", "Voltage", "V", "SystemBoard", b.ifOn(round(b.s.Volts5, 3)), b.hostStatus("OK"), thresholds("LowerCritical", 4.5, "UpperCritical", 5.5), ""},
		{"voltage_3v3_stby", "3.3V Standby", "Voltage", "V", "SystemBoard", round(b.s.Volts33Standby, 3), on, nil, ""},
		{"power_total", "Total Power", "Power", "W", "SystemBoard", b.s.PowerWatts, on, nil, ""},
		{"energy_total", "Total Energy", "EnergykWh", "kW.h", "SystemBoard", b.s.EnergyKWh, on, nil, ""},
	}
	if b.p.Room {
		list = append(list,
			sensorDoc{"temp_room", "Room Temp", "Temperature", "Cel", "Room", round(b.s.RoomTempC, 2), on, nil, ""},
			sensorDoc{"humidity_room", "Room Humidity", "Humidity", "%", "Room", round(b.s.RoomRH, 2), humidity,
				thresholds("UpperCaution", roomRHUpperCaution, "UpperCritical", roomRHUpperCritical, "LowerCaution", roomRHLowerCaution, "LowerCritical", roomRHLowerCritical), ""})
	}
	for i, c := range b.s.CPUs {
		list = append(list, sensorDoc{"temp_cpu" + num(i), c.Name + " Temp", "Temperature", "Cel", "CPU", b.ifOn(round(c.TempC, 2)), b.hostStatus("OK"), thresholds("UpperCaution", cpuUpperCaution, "UpperCritical", cpuUpperCritical), ""})
	}
	for i, f := range b.s.Fans {
		st, rpm, duty := b.hostStatus(okOr(!f.Failed, "Critical")), b.ifOn(f.RPM), b.ifOn(round(f.Duty, 1))
		if f.Absent {
			st, rpm, duty = status("", "Absent"), nil, nil
		}
		of := b.ids.chassis + "/ThermalSubsystem/Fans/Fan_" + num(i)
		list = append(list,
			sensorDoc{"fantach_fan" + num(i), f.Name + " Speed", "Rotational", "RPM", "Fan", rpm, st, thresholds("LowerCritical", fanLowCritical, "LowerCaution", fanLowCaution), of},
			sensorDoc{"fanpwm_fan" + num(i), f.Name + " PWM", "Percent", "%", "Fan", duty, st, nil, of})
	}
	for i, s := range b.s.PSUs {
		if s.Absent {
			continue
		}
		of := b.ids.chassis + "/PowerSubsystem/PowerSupplies/PSU_" + num(i)
		list = append(list,
			sensorDoc{"power_psu" + num(i) + "_input", s.Name + " Input Power", "Power", "W", "PowerSupply", s.InputWatts, on, nil, of},
			sensorDoc{"power_psu" + num(i) + "_output", s.Name + " Output Power", "Power", "W", "PowerSupply", s.OutputWatts, on, nil, of},
			sensorDoc{"voltage_psu" + num(i) + "_input", s.Name + " Input Voltage", "Voltage", "V", "PowerSupply", round(s.InputVolts, 1), on, nil, of})
	}
	if b.p.Redfish == ShapeModern { // the measuring circuit of each detector, a voltage and no leak
		for i, l := range b.s.Leaks {
			list = append(list, sensorDoc{"voltage_leak" + num(i), l.Name, "Voltage", "V", "Chassis", round(l.Volts, 3), on, nil, ""})
		}
	}
	return list
}

// makersUnits are what a mixed service calls its units instead of UCUM.
var makersUnits = map[string]string{"Cel": "C", "W": "Watts", "V": "Volts", "kW.h": "", "RPM": "RPM", "%": "%"}

func (b *treeBuilder) sensors() {
	p := b.ids.chassis + "/Sensors"
	var members []string
	for _, s := range b.sensorList() {
		id := p + "/" + s.id
		members = append(members, id)
		b.add(id, "Sensor.v1_7_0.Sensor", s.name, func() doc {
			d := doc{"Reading": s.value, "ReadingUnits": s.unit, "ReadingType": s.kind, "PhysicalContext": s.context, "Status": s.status}
			if b.p.Redfish == ShapeMixed {
				d["ReadingUnits"] = makersUnits[s.unit]
				if s.kind == "Voltage" || s.kind == "EnergykWh" {
					d["ReadingType"] = nil
				}
			}
			if s.thresholds != nil {
				d["Thresholds"] = s.thresholds
			}
			if s.related != "" {
				d["RelatedItem"] = links([]string{s.related})
			}
			return d
		})
	}
	b.addCollection(p, "SensorCollection", "Sensor Collection", members)
	b.add(b.ids.chassis+"/EnvironmentMetrics", "EnvironmentMetrics.v1_3_0.EnvironmentMetrics", "Chassis Environment Metrics", func() doc {
		d := doc{
			"TemperatureCelsius": doc{"DataSourceUri": p + "/temp_inlet", "Reading": round(b.s.InletC, 2)},
			"PowerWatts":         doc{"DataSourceUri": p + "/power_total", "Reading": b.s.PowerWatts},
			"EnergykWh":          doc{"DataSourceUri": p + "/energy_total", "Reading": b.s.EnergyKWh},
		}
		if w := b.s.PowerLimitWatts; w > 0 {
			d["PowerLimitWatts"] = doc{"SetPoint": w, "ControlMode": "Automatic"}
		}
		if b.p.Room {
			d["HumidityPercent"] = doc{"DataSourceUri": p + "/humidity_room", "Reading": round(b.s.RoomRH, 2)}
		}
		return d
	})
}

func (b *treeBuilder) thermalSubsystem() {
	p, sensors := b.ids.chassis+"/ThermalSubsystem", b.ids.chassis+"/Sensors"
	var fans []string
	for i, f := range b.s.Fans {
		id := p + "/Fans/Fan_" + num(i)
		fans = append(fans, id)
		b.add(id, "Fan.v1_4_0.Fan", f.Name, func() doc {
			d := doc{
				"PhysicalContext": "Chassis", "HotPluggable": true, "Location": doc{"PartLocation": doc{"ServiceLabel": f.Name, "LocationType": "Bay", "LocationOrdinalValue": i}},
			}
			if f.Absent {
				d["Status"] = status("", "Absent")
				return d
			}
			d["Manufacturer"], d["Model"], d["SerialNumber"], d["PartNumber"] = "Sim Fans", "F-60x38", f.Serial, "FAN-6038"
			d["Status"] = b.hostStatus(okOr(!f.Failed, "Critical"))
			d["SpeedPercent"] = doc{"DataSourceUri": sensors + "/fantach_fan" + num(i), "Reading": b.ifOn(round(f.Duty, 1)), "SpeedRPM": b.ifOn(f.RPM)}
			return d
		})
	}
	b.addCollection(p+"/Fans", "FanCollection", "Fan Collection", fans)
	b.add(p+"/ThermalMetrics", "ThermalMetrics.v1_3_0.ThermalMetrics", "Thermal Metrics", func() doc {
		temps := []any{}
		for _, s := range b.sensorList() {
			if s.kind == "Temperature" {
				temps = append(temps, doc{"DataSourceUri": sensors + "/" + s.id, "DeviceName": s.name, "PhysicalContext": s.context, "Reading": s.value})
			}
		}
		return doc{"TemperatureReadingsCelsius": temps}
	})
	leaks := p + "/LeakDetection/LeakDetectors"
	if b.p.Redfish == ShapeMixed {
		leaks = b.ids.chassis + "/LeakDetectors" // where the standard put them in 2024
	}
	worst := b.leakDetectors(leaks)
	hasDetection := b.p.Redfish == ShapeModern && len(b.s.Leaks) > 0
	b.add(p, "ThermalSubsystem.v1_3_0.ThermalSubsystem", "Thermal Subsystem", func() doc {
		d := doc{
			"Fans": link(p + "/Fans"), "ThermalMetrics": link(p + "/ThermalMetrics"), "Status": status(b.rollup(), "Enabled"),
			"FanRedundancy": []any{doc{
				"RedundancyType": "NPlusM", "MinNeededInGroup": len(fans) - 1, "MaxSupportedInGroup": len(fans), "RedundancyGroup": links(fans),
				"Status": status(okOr(b.s.FanRedundant, "Warning"), "Enabled"),
			}},
		}
		if hasDetection {
			d["LeakDetection"] = link(p + "/LeakDetection")
		}
		return d
	})
	if hasDetection {
		b.add(p+"/LeakDetection", "LeakDetection.v1_0_0.LeakDetection", "Leak Detection Systems", func() doc {
			return doc{"LeakDetectors": link(leaks), "Status": doc{"State": "Enabled", "Health": worst, "HealthRollup": worst}}
		})
	}
}

func (b *treeBuilder) leakDetectors(p string) (worst string) {
	worst = "OK"
	if len(b.s.Leaks) == 0 {
		return worst
	}
	var members []string
	for i, l := range b.s.Leaks {
		id := p + "/LeakDetector_" + num(i)
		members = append(members, id)
		state, st := "OK", status("OK", "Enabled")
		switch {
		case l.State == LeakWet:
			state, st, worst = "Critical", status("Critical", "Enabled"), "Critical"
		case l.State == LeakFault && b.p.Redfish == ShapeModern:
			// As NVIDIA's firmware says that the detector is broken.
			state, st = "Critical", status("Critical", "Degraded")
		case l.State == LeakFault:
			state, st = "Unavailable", status("Warning", "Enabled")
		}
		b.add(id, "LeakDetector.v1_1_0.LeakDetector", l.Name, func() doc {
			return doc{"DetectorState": state, "LeakDetectorType": "Moisture", "Status": st, "PhysicalContext": "Chassis"}
		})
	}
	b.addCollection(p, "LeakDetectorCollection", "Leak Detector Collection", members)
	return worst
}

func (b *treeBuilder) powerSubsystem() {
	p, sensors := b.ids.chassis+"/PowerSubsystem", b.ids.chassis+"/Sensors"
	var members []string
	for i, s := range b.s.PSUs {
		id := p + "/PowerSupplies/PSU_" + num(i)
		members = append(members, id)
		b.add(id, "PowerSupply.v1_5_0.PowerSupply", s.Name, func() doc {
			d := doc{"Location": doc{"PartLocation": doc{"ServiceLabel": s.Name, "LocationType": "Bay", "LocationOrdinalValue": i}}, "HotPluggable": true}
			if s.Absent {
				d["Status"] = status("", "Absent")
				return d
			}
			d["Manufacturer"], d["Model"], d["SerialNumber"], d["FirmwareVersion"] = "Sim Power", s.Model, s.Serial, "1.04"
			d["PowerCapacityWatts"], d["PowerSupplyType"], d["LineInputStatus"] = s.CapacityWatts, "AC", "Normal"
			d["Metrics"] = link(id + "/Metrics")
			switch {
			case s.InputLost:
				d["LineInputStatus"], d["Status"] = "LossOfInput", status("Critical", "UnavailableOffline")
			case s.Failed:
				d["Status"] = status("Critical", "Enabled")
			default:
				d["Status"] = status("OK", "Enabled")
			}
			return d
		})
		if s.Absent {
			continue
		}
		b.add(id+"/Metrics", "PowerSupplyMetrics.v1_0_1.PowerSupplyMetrics", "Metrics for "+s.Name, func() doc {
			return doc{
				"Status":             status("OK", "Enabled"),
				"InputPowerWatts":    doc{"DataSourceUri": sensors + "/power_psu" + num(i) + "_input", "Reading": s.InputWatts},
				"OutputPowerWatts":   doc{"DataSourceUri": sensors + "/power_psu" + num(i) + "_output", "Reading": s.OutputWatts},
				"InputVoltage":       doc{"DataSourceUri": sensors + "/voltage_psu" + num(i) + "_input", "Reading": round(s.InputVolts, 1)},
				"TemperatureCelsius": doc{"Reading": round(s.TempC, 1)},
			}
		})
	}
	b.addCollection(p+"/PowerSupplies", "PowerSupplyCollection", "Power Supply Collection", members)
	b.add(p, "PowerSubsystem.v1_1_0.PowerSubsystem", "Power Subsystem", func() doc {
		return doc{
			"CapacityWatts": 1100 * len(members), "PowerSupplies": link(p + "/PowerSupplies"), "Status": status(okOr(b.s.PSURedundant, "Warning"), "Enabled"),
			"PowerSupplyRedundancy": []any{doc{
				"RedundancyType": "NPlusM", "MinNeededInGroup": 1, "MaxSupportedInGroup": len(members), "RedundancyGroup": links(members),
				"Status": status(okOr(b.s.PSURedundant, "Warning"), "Enabled"),
			}},
		}
	})
}
