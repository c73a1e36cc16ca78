package capture

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Crawl is the way through a Redfish tree: breadth first from what is known, links on the same service only.
type Crawl struct {
	host  string // of the service, with port as in its address
	queue []string
	seen  map[string]bool
	most  int
	// skipped counts what was left out, by kind.
	skipped map[string]*NotRead
	order   []string
}

// NewCrawl begins at the service root. Host is that of the BMC's address; most bounds the documents.
func NewCrawl(host string, most int) *Crawl {
	return &Crawl{host: strings.ToLower(host), queue: []string{"/redfish/v1"}, seen: map[string]bool{"/redfish/v1": true}, most: most, skipped: map[string]*NotRead{}}
}

// leaveOut are the parts of a tree that say nothing of the hardware's health, are huge, hold secrets and names of people, or
// keep a BMC busy for minutes.
var leaveOut = []struct {
	re   *regexp.Regexp
	part string
	why  string
}{
	{regexp.MustCompile(`(?i)^/redfish/v1/(\$metadata|odata|jsonschemas?|schemas?|schemastore|registries|registrystore|messageregistry)(/|$)`), "schemas and registries", "the same on every machine"},
	{regexp.MustCompile(`(?i)/(attributeregistr|biosattributeregistry|bootoptions?(/|$)|bios(/|$)|securebootdatabases|secureboot(/|$))`), "BIOS settings", "no health data, and may hold secrets"},
	{regexp.MustCompile(`(?i)/(accountservice|accounts|roles|externalaccountproviders|privilegemap|sessionservice/sessions|sessions)(/|$)`), "accounts and sessions", "names of people"},
	{regexp.MustCompile(`(?i)/(certificateservice|certificates|keyservice|keys|licenses|licenseservice|trustedcomponents|componentintegrity|spdm)(/|$)`), "certificates, keys and licences", "may hold secrets"},
	{regexp.MustCompile(`(?i)/(eventservice|subscriptions|taskservice|tasks|jobservice|jobs|jobqueue)(/|$)`), "tasks and subscriptions", "no health data, and may hold secrets"},
	{regexp.MustCompile(`(?i)/firmwareinventory/|/firmwareinventory$|/softwareinventory(/|$)`), "firmware inventory", "keeps some BMCs busy for minutes"},
	{regexp.MustCompile(`(?i)/[^/]*(journal|dump|postcode|debuglog|faultlog)[^/]*(/|$)`), "journals, dumps and POST codes", "huge, and may hold memory of the host"},
	{regexp.MustCompile(`(?i)/entries/[^?]|/(sel|lclog|faultlist|iml|iel|log[0-9]*|eventlog|standardlog|activelog|platformlog|auditlog)/entries\?|/lclog/|/entries/`), "log entries beyond the newest", "read with their collections"},
	{regexp.MustCompile(`(?i)/(telemetryservice|metricreports|metricreportdefinitions|metricdefinitions)(/|$)`), "telemetry reports", "the same readings once more"},
	{regexp.MustCompile(`(?i)/(virtualmedia|hostinterfaces|remoteaccess|graphicalconsole|serialinterfaces)(/|$)`), "virtual media and consoles", "no health data, and may hold secrets"},
	{regexp.MustCompile(`(?i)/oem/[^/]+/.*(attributes|managerattributes|systemattributes|lifecyclecontrollerattributes)(/|$)`), "attributes of the maker's own", "no health data, and may hold secrets"},
	{regexp.MustCompile(`(?i)attachment(/|$)|\.(zip|tar|gz|bin|log)$`), "attachments", "huge"},
}

// maxURL bounds a link.
const maxURL = 1024

// Follow takes in the links of a document.
func (c *Crawl) Follow(body []byte) {
	walkJSON(body, func(t token) (string, bool) {
		if t.name || t.number || t.word {
			return "", true
		}
		switch t.key {
		case "@odata.id", "@odata.nextLink", "Members@odata.nextLink", "href":
			c.add(t.text)
		}
		return "", true
	})
}

func (c *Crawl) add(link string) {
	u, ok := c.resolve(link)
	if !ok || c.seen[u] {
		return
	}
	c.seen[u] = true
	for _, s := range leaveOut {
		if s.re.MatchString(u) {
			c.Skip(s.part, s.why)
			return
		}
	}
	if len(c.seen) > 10*maxEntries {
		return
	}
	c.queue = append(c.queue, u)
}

// Skip counts something that is left out.
func (c *Crawl) Skip(part, why string) {
	k := part + "\x00" + why
	if c.skipped[k] == nil {
		if len(c.order) >= 1000 {
			return
		}
		c.skipped[k] = &NotRead{Part: part, Reason: why}
		c.order = append(c.order, k)
	}
	c.skipped[k].Count++
}

// Next is the next document to read, "" at the end.
func (c *Crawl) Next() string {
	for len(c.queue) > 0 {
		u := c.queue[0]
		c.queue = c.queue[1:]
		if c.most <= 0 {
			c.Skip("documents beyond the bound", "more than --max-documents")
			continue
		}
		c.most--
		return u
	}
	return ""
}

// Left is how many documents are known and not read yet.
func (c *Crawl) Left() int { return len(c.queue) }

// NotRead is what was left out.
func (c *Crawl) NotRead() []NotRead {
	var out []NotRead
	for _, k := range c.order {
		out = append(out, *c.skipped[k])
	}
	return out
}

// resolve turns a link into path and query on this service.
func (c *Crawl) resolve(link string) (string, bool) {
	if link == "" || len(link) > maxURL {
		return "", false
	}
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || u.User != nil || u.Scheme != "" && u.Scheme != "https" || u.Host != "" && !strings.EqualFold(u.Host, c.host) {
		return "", false
	}
	p := strings.TrimSuffix(u.EscapedPath(), "/")
	if clean := path.Clean(u.Path); clean != strings.TrimSuffix(u.Path, "/") || !strings.HasPrefix(strings.ToLower(clean), "/redfish/v1") || strings.Contains(p, "//") {
		return "", false
	}
	if u.RawQuery != "" {
		p += "?" + u.RawQuery
	}
	return p, true
}
