package bmcsim

// network is the adapters and their ports; the second port of each has no cable.
func (b *treeBuilder) network() {
	if b.p.NICs == 0 {
		return
	}
	p, form := b.ids.chassis+"/NetworkAdapters", "Ports"
	if b.p.Redfish == ShapeLegacy {
		form = "NetworkPorts"
	}
	var members []string
	for i := range b.p.NICs {
		id := p + "/NIC.Slot." + num(i+1)
		members = append(members, id)
		b.add(id, "NetworkAdapter.v1_5_0.NetworkAdapter", "Network Adapter "+num(i+1), func() doc {
			return doc{
				"Manufacturer": "Sim Networks", "Model": "SN-25G", "SerialNumber": "N" + num(i+1) + b.id.boardSerial, "Status": status("OK", "Enabled"),
				form: link(id + "/" + form),
			}
		})
		var ports []string
		for k := range 2 {
			port := id + "/" + form + "/" + num(k+1)
			ports = append(ports, port)
			b.add(port, "Port.v1_6_0.Port", "Port "+num(k+1), func() doc {
				d := doc{"LinkStatus": "LinkUp", "CurrentSpeedGbps": 25, "PortId": num(k + 1), "Status": status("OK", "Enabled")}
				if form == "NetworkPorts" {
					d = doc{"LinkStatus": "Up", "CurrentLinkSpeedMbps": 25000, "PhysicalPortNumber": num(k + 1), "Status": status("OK", "Enabled")}
				}
				if k == 1 {
					d["LinkStatus"] = map[bool]string{true: "Down", false: "LinkDown"}[form == "NetworkPorts"]
					delete(d, "CurrentSpeedGbps")
					delete(d, "CurrentLinkSpeedMbps")
				}
				return d
			})
		}
		b.addCollection(id+"/"+form, "PortCollection", "Port Collection", ports)
	}
	b.addCollection(p, "NetworkAdapterCollection", "Network Adapter Collection", members)
}

// driveMetrics is what the drive's own monitor counts.
func (b *treeBuilder) driveMetrics(id string, d DriveState) {
	b.add(id+"/Metrics", "DriveMetrics.v1_0_0.DriveMetrics", "Metrics of "+d.Name, func() doc {
		return doc{
			"PowerOnHours":                  8760,
			"UncorrectableIOReadErrorCount": boolInt(d.Failed), "UncorrectableIOWriteErrorCount": 0,
			"NVMeSMART": doc{
				"PercentageUsed": 100 - d.LifeLeft, "AvailableSparePercent": 100, "MediaAndDataIntegrityErrors": boolInt(d.Failed),
				"CompositeTemperatureCelsius": 34,
			},
		}
	})
}
