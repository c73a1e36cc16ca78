package config

// The raw structs are the shape of the file. Each key of them stands in config.example.toml, which a test compares with
// them. Whether a key was given is asked of its place, not of its value.

type rawFile struct {
	DataDir     string          `toml:"data_dir"`
	Schedule    rawSchedule     `toml:"schedule"`
	Collector   rawCollector    `toml:"collector"`
	Log         rawLog          `toml:"log"`
	Retention   rawRetention    `toml:"retention"`
	Backup      rawBackup       `toml:"backup"`
	Moisture    rawMoisture     `toml:"moisture"`
	Incidents   rawIncidents    `toml:"incidents"`
	InfluxDB    rawInfluxDB     `toml:"influxdb"`
	Notify      rawNotify       `toml:"notify"`
	Credentials []rawCredential `toml:"credential"`
	Targets     []rawTarget     `toml:"target"`
	Quirks      []rawQuirk      `toml:"quirk"`
	Airs        []rawAir        `toml:"air"`
	Input       rawInput        `toml:"input"`
	Probes      []rawProbe      `toml:"probe"`
	LeakSensors []rawLeakSensor `toml:"leak_sensor"`
	Sites       []rawSite       `toml:"site"`
	Racks       []rawRack       `toml:"rack"`
	Feeds       []rawFeed       `toml:"feed"`
}

type rawQuirk struct {
	Name     string   `toml:"name"`
	Driver   string   `toml:"driver"`
	Vendor   string   `toml:"vendor"`
	Product  string   `toml:"product"`
	Firmware string   `toml:"firmware"`
	Effects  []string `toml:"effects"`
	Deny     []string `toml:"deny"`
	Why      string   `toml:"why"`
	Source   string   `toml:"source"`
}

type rawTiers struct {
	Readings  string `toml:"readings"`
	Events    string `toml:"events"`
	Health    string `toml:"health"`
	Inventory string `toml:"inventory"`
}

type rawSchedule struct {
	Readings  string `toml:"readings"`
	Events    string `toml:"events"`
	Health    string `toml:"health"`
	Inventory string `toml:"inventory"`
	Spread    string `toml:"spread"`
	Timezone  string `toml:"timezone"`
}

type rawCollector struct {
	Slots     int      `toml:"slots"`
	Deadlines rawTiers `toml:"deadlines"`
}

type rawLog struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

type rawRetention struct {
	Raw     string `toml:"raw"`
	Rollups string `toml:"rollups"`
	MaxSize string `toml:"max_size"`
}

type rawBackup struct {
	Path     string `toml:"path"`
	Schedule string `toml:"schedule"`
	Keep     int    `toml:"keep"`
}

type rawInfluxDB struct {
	URL          string       `toml:"url"`
	Organization string       `toml:"organization"`
	Bucket       string       `toml:"bucket"`
	Token        string       `toml:"token"`
	Timeout      string       `toml:"timeout"`
	MaxLag       string       `toml:"max_lag"`
	TLS          rawInfluxTLS `toml:"tls"`
}

type rawInfluxTLS struct {
	CAFile   string `toml:"ca_file"`
	Insecure bool   `toml:"insecure"`
}

type rawCredential struct {
	Name     string `toml:"name"`
	Username string `toml:"username"`
	Password string `toml:"password"`
}

type rawTarget struct {
	Name       string            `toml:"name"`
	Address    string            `toml:"address"`
	Driver     string            `toml:"driver"`
	Credential string            `toml:"credential"`
	Site       string            `toml:"site"`
	Rack       string            `toml:"rack"`
	Position   int               `toml:"position"`
	Labels     map[string]string `toml:"labels"`
	Origin     string            `toml:"origin"`
	// Dates; what they are for is the capacity review.
	Installed     string     `toml:"installed"`
	WarrantyUntil string     `toml:"warranty_until"`
	Expect        rawExpect  `toml:"expect"`
	Schedule      rawTiers   `toml:"schedule"`
	TLS           rawTLS     `toml:"tls"`
	Redfish       rawRedfish `toml:"redfish"`
	IPMI          rawIPMI    `toml:"ipmi"`
}

type rawExpect struct {
	Fans   int `toml:"fans"`
	PSUs   int `toml:"psus"`
	Drives int `toml:"drives"`
}

type rawTLS struct {
	CAFile      string `toml:"ca_file"`
	Fingerprint string `toml:"fingerprint"`
	Insecure    bool   `toml:"insecure"`
}

type rawRedfish struct {
	Auth      string   `toml:"auth"`
	QuirksOff []string `toml:"quirks_off"`
}

type rawIPMI struct {
	Privilege    string   `toml:"privilege"`
	CipherSuites []int    `toml:"cipher_suites"`
	QuirksOff    []string `toml:"quirks_off"`
}
