package coverage_test

import (
	"regexp"
	"strings"
)

// logKind is what a log service holds.
type logKind string

const (
	hardwareLog logKind = "hardware"
	otherLog    logKind = "other"    // a journal, dumps, POST codes, an audit trail, a console: named, never read
	unclearLog  logKind = "unclear"  // reading it or skipping it are both right
	noEntries   logKind = "no entry" // it has no Entries (Lenovo's SEL) or the capture has none of them
)

// logTruth is a LogService and how many entries of it the capture holds.
type logTruth struct {
	url, id, name string
	kind          logKind
	entries       int
	ids           map[string]bool // of the entries
}

var (
	// Journal and HostLogger of OpenBMC; Dump, FDR, PostCodes, DebugTokenService, FaultLog (its dumps) of NVIDIA; AuditLog of
	// HPE Cray EX and Lenovo; DiagnosticLog of Lenovo (files to download).
	otherLogs = regexp.MustCompile(`(?i)journal|dump|hostlogger|console|post ?codes?|postcode|debug ?token|\bfdr\b|audit|diagnostic`)
	// SL of HPE iLO is its security log; Managers' Maintenance Event Log of Supermicro and RedfishLog of Intel record logins,
	// firmware and configuration; SaLog of Lenovo what was sent to its service.
	unclearLogs = regexp.MustCompile(`(?i)security|maintenance event|redfish ?log|\bsalog\b|faultlog`)
)

// logs are the LogServices of a capture. A LogEntryCollection beside them is none (HPE RemoteSupportService has one).
func logs(t *tree) []*logTruth {
	var l []*logTruth
	t.each(func(url, kind string, d doc) {
		if kind != "LogService" {
			return
		}
		lt := &logTruth{url: url, id: str(d, "Id"), name: str(d, "Name"), kind: hardwareLog, ids: map[string]bool{}}
		entries, ok := t.docs[link(d, "Entries")]
		switch words := lt.id + " " + lt.name; {
		case otherLogs.MatchString(words):
			lt.kind = otherLog
		case !ok:
			lt.kind = noEntries
		case unclearLogs.MatchString(words):
			lt.kind = unclearLog
		}
		// Intel's and the DMTF's recordings end with a nextLink to the same collection from $skip on: one page was recorded.
		seen := map[string]bool{link(d, "Entries"): true}
		for ok {
			for _, m := range list(entries["Members"]) {
				lt.member(t, m)
			}
			next := ""
			for k, v := range entries {
				if strings.HasSuffix(k, "@odata.nextLink") {
					s, _ := v.(string)
					next = cleanURL(s)
				}
			}
			if next == "" || seen[next] {
				break
			}
			seen[next] = true
			entries, ok = t.docs[next]
		}
		l = append(l, lt)
	})
	return l
}

// member counts an entry that is written out in the collection (Supermicro lists 509 so, of which nine have a document of
// their own), or that has a document.
func (lt *logTruth) member(t *tree, m any) {
	d, ok := m.(doc)
	if !ok {
		s, _ := m.(string)
		d = doc{"@odata.id": s}
	}
	if len(d) == 1 {
		if d, ok = t.docs[cleanURL(str(d, "@odata.id"))]; !ok {
			return
		}
	}
	lt.entries++
	lt.ids[first(str(d, "Id"), lastSegment(cleanURL(str(d, "@odata.id"))))] = true
}
