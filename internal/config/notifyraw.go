package config

type rawNotify struct {
	Alertmanager []rawAlertmanager `toml:"alertmanager"`
	Webhook      []rawWebhook      `toml:"webhook"`
	Mail         []rawMail         `toml:"mail"`
	Heartbeat    []rawHeartbeat    `toml:"heartbeat"`
}

type rawAlertmanager struct {
	Name      string   `toml:"name"`
	URL       string   `toml:"url"`
	Token     string   `toml:"token"`
	Severity  string   `toml:"severity"`
	Sites     []string `toml:"sites"`
	Racks     []string `toml:"racks"`
	Labels    []string `toml:"labels"`
	Resend    string   `toml:"resend"`
	Heartbeat bool     `toml:"heartbeat"`
	Timeout   string   `toml:"timeout"`
	CAFile    string   `toml:"ca_file"`
}

type rawWebhook struct {
	Name       string   `toml:"name"`
	URL        string   `toml:"url"`
	Secret     string   `toml:"secret"`
	Token      string   `toml:"token"`
	Body       string   `toml:"body"`
	Severity   string   `toml:"severity"`
	Sites      []string `toml:"sites"`
	Racks      []string `toml:"racks"`
	Labels     []string `toml:"labels"`
	Wait       string   `toml:"wait"`
	Interval   string   `toml:"interval"`
	MaxPerHour int      `toml:"max_per_hour"`
	Timeout    string   `toml:"timeout"`
	CAFile     string   `toml:"ca_file"`
}

type rawMail struct {
	Name       string   `toml:"name"`
	Server     string   `toml:"server"`
	TLS        string   `toml:"tls"`
	Username   string   `toml:"username"`
	Password   string   `toml:"password"`
	From       string   `toml:"from"`
	To         []string `toml:"to"`
	Subject    string   `toml:"subject"`
	Body       string   `toml:"body"`
	Severity   string   `toml:"severity"`
	Sites      []string `toml:"sites"`
	Racks      []string `toml:"racks"`
	Labels     []string `toml:"labels"`
	Wait       string   `toml:"wait"`
	Interval   string   `toml:"interval"`
	MaxPerHour int      `toml:"max_per_hour"`
	Timeout    string   `toml:"timeout"`
	CAFile     string   `toml:"ca_file"`
}

type rawHeartbeat struct {
	Name    string `toml:"name"`
	URL     string `toml:"url"`
	Method  string `toml:"method"`
	Every   string `toml:"every"`
	Timeout string `toml:"timeout"`
	CAFile  string `toml:"ca_file"`
}
