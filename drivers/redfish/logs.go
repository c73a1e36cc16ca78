package redfish

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dewline/health"
)

const (
	maxRaw     = 16 << 10
	maxEntries = 20000 // of one log in one visit
	maxMarks   = 16
	// proveSkipFrom is the size of a log from which it is worth a request to learn whether $skip works.
	proveSkipFrom = 64
)

type logServiceDoc struct {
	ID              text `json:"Id"`
	Name            text
	Entries         link
	LogEntryType    text
	ServiceEnabled  flag
	OverWritePolicy text
	MaxRecords      number `json:"MaxNumberOfRecords"`
	Overflow        flag
}

// discoverLogs finds the LogServices of systems, managers, chassis and units, and which of them are hardware logs.
func (v *visit) discoverLogs() {
	var collections []string
	add := func(u string) {
		if u != "" && !slices.Contains(collections, u) {
			collections = append(collections, u)
		}
	}
	for _, s := range v.mem.Systems {
		add(s.Logs)
	}
	for _, m := range v.mem.Managers {
		add(m.Logs)
	}
	for _, c := range v.mem.Chassis {
		add(c.Logs)
	}
	for _, u := range v.mem.Units {
		add(u.Logs)
	}
	v.prefetch(collections)
	var uris []string
	failed := false
	for _, c := range collections {
		list, e := v.members(c, true)
		if e != nil && e.Reason != health.ReasonNotFound {
			failed = true
			v.gap(c, e, c, "")
		}
		uris = append(uris, v.allowed(list)...)
	}
	slices.Sort(uris)
	uris = slices.Compact(uris)
	v.prefetch(uris)
	old := map[string]logService{}
	taken := map[string]bool{}
	for _, l := range v.mem.Logs {
		old[l.URI] = l
		taken[l.Source] = true
	}
	short := map[string]int{}
	for _, u := range uris {
		short[segment(u)]++
	}
	logs := []logService{}
	for _, u := range uris {
		l := old[u]
		l.URI = u
		var d logServiceDoc
		if e := v.into(u, &d); e != nil {
			if e.Reason != health.ReasonNotFound {
				failed = true
			}
			v.gap(u, e, u, "")
			if old[u].URI != "" {
				logs = append(logs, old[u])
			}
			continue
		}
		if l.Source == "" {
			if l.Source = segment(u); short[l.Source] > 1 || taken[l.Source] {
				l.Source = strings.Replace(strings.TrimPrefix(u, rootURI+"/"), "/LogServices", "", 1)
			}
		}
		l.Name, l.Entries = string(d.Name), v.link(d.Entries)
		l.Skipped = skipLog(u, &d)
		l.room(&d)
		logs = append(logs, l)
	}
	if !failed || len(logs) > 0 {
		v.mem.Logs = logs
	}
}

// room takes over whether the log has overflowed, and how many entries it holds if it keeps the old ones.
func (l *logService) room(d *logServiceDoc) {
	l.Full, l.Max = d.Overflow.V, 0
	if strings.EqualFold(string(d.OverWritePolicy), "NeverOverWrites") && d.MaxRecords.V > 0 && d.MaxRecords.V < 1e6 {
		l.Max = int(d.MaxRecords.V)
	}
}

// skipLog says why a log is no hardware log, "" if it is one. Journals, dumps and POST codes of OpenBMC are huge
// (confluent PR #274) and hold no hardware event.
func skipLog(uri string, d *logServiceDoc) string {
	id := strings.ToLower(segment(uri))
	name := strings.ToLower(string(d.Name))
	switch {
	case strings.Contains(id, "journal"):
		return "journal"
	case strings.Contains(id, "dump"), id == "faultlog", strings.Contains(id, "fdr"), strings.Contains(id, "cper"):
		return "dump"
	case strings.Contains(id, "postcode"):
		return "post_codes"
	case strings.Contains(id, "audit"), id == "sl" && strings.Contains(name, "security"), strings.Contains(id, "securitylog"), strings.Contains(name, "audit log"):
		return "audit"
	case strings.Contains(id, "hostlogger"), strings.Contains(id, "console"), strings.Contains(id, "serialover"):
		return "console"
	case strings.Contains(id, "diagnostic"), strings.Contains(id, "debugtoken"), strings.Contains(id, "ffdc"):
		return "diagnostic"
	case d.Entries == "":
		return "no_entries"
	case d.ServiceEnabled.OK && !d.ServiceEnabled.V:
		return "disabled"
	}
	return ""
}

// entry is a log entry as read.
type entry struct {
	mark
	doc entryDoc
	raw []byte
}

type entryDoc struct {
	ID                          text `json:"Id"`
	ODataID                     link `json:"@odata.id"`
	Created, EventTimestamp     text
	Severity, MessageSeverity   text
	Message, MessageID          text
	MessageArgs                 many[text]
	EntryCode, EntryType        text
	SensorType                  text
	SensorNumber, OemSensorType text
	Origin                      link `json:"OriginOfCondition"`
	Links                       object[struct {
		OriginOfCondition link
	}]
	Oem object[struct {
		Hpe, Hp object[struct{ Repaired flag }]
	}]
}

func newEntry(uri string, raw []byte) entry {
	e := entry{raw: raw}
	_ = decode(raw, &e.doc)
	e.ID = cut(cmp.Or(string(e.doc.ID), segment(uri)), 128)
	h := sha256.New()
	for _, s := range []text{e.doc.Created, e.doc.MessageID, e.doc.Message} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	e.Key = hex.EncodeToString(h.Sum(nil)[:12])
	return e
}

// readLogs reads the new entries of every hardware log.
func (v *visit) readLogs() {
	for i := range v.mem.Logs {
		l := &v.mem.Logs[i]
		info := health.LogInfo{ID: l.Source, Path: l.URI, Name: l.Name, Skipped: l.Skipped}
		if l.Skipped == "" && v.failed() == nil {
			v.readLog(l, &info)
		} else if l.Skipped == "" {
			info.Skipped = "not_read"
		}
		v.logs = append(v.logs, info)
	}
}

// listing is what one reading of a log brought, oldest entry first.
type listing struct {
	entries []entry
	total   *int
	newest  bool // the service lists the newest entry first
}

func (v *visit) readLog(l *logService, info *health.LogInfo) {
	var cur *cursor
	if raw, ok := v.req.Cursors[l.URI]; ok {
		c := new(cursor)
		if json.Unmarshal(raw, c) == nil && c.Generation > 0 && len(c.Marks) <= 4*maxMarks {
			cur = c
		}
	}
	limit := cmp.Or(v.req.LogLimit, health.DefaultLogLimit)
	if limit < 0 || limit > maxEntries {
		limit = maxEntries
	}
	lst, e := v.listLog(l, cur, limit)
	v.logRead = v.logRead || e == nil || len(lst.entries) > 0
	if e != nil {
		v.gap(l.Entries, e, l.URI, "")
		v.goneLink(e)
		if len(lst.entries) == 0 || lst.newest {
			// Newest first and cut short: what is older is a hole that the cursor must not pass.
			info.Total, info.More = lst.total, true
			return
		}
		info.More = true
	}
	info.Total = lst.total
	fresh, next := follow(cur, &lst, limit, info)
	info.Read = len(fresh)
	if cur != nil && len(fresh) > 0 {
		// It is with new entries that a log overflows; the services are else only looked at by the day.
		var d logServiceDoc
		if e := v.into(l.URI, &d); e == nil {
			l.room(&d)
		}
	}
	info.Full = l.Full || l.Max > 0 && lst.total != nil && *lst.total >= l.Max
	for i := range fresh {
		v.log = append(v.log, v.logEntry(l, &fresh[i], next.Generation))
	}
	if raw, err := json.Marshal(next); err == nil {
		v.cursors[l.URI] = raw
	}
}

// listLog reads a log's collection as far as needed. Beside an error it gives what was read before it.
func (v *visit) listLog(l *logService, cur *cursor, limit int) (listing, *health.Error) {
	// A log that lists oldest first and honours $skip is read from the last known entry on.
	if l.Skip > 0 && cur != nil && cur.Count > 1 && len(cur.Marks) > 0 {
		if lst, ok := v.listFrom(l, cur.Count-1); ok && len(lst.entries) > 0 && slices.Contains(cur.Marks, lst.entries[0].mark) {
			return lst, nil
		}
	}
	lst, next, e := v.logPage(l.Entries, cur)
	if e != nil {
		return lst, e
	}
	lst.newest = newestFirst(lst.entries)
	if len(lst.entries) > 1 {
		l.Order = map[bool]string{true: "newest first", false: "oldest first"}[lst.newest]
	}
	if next == "" {
		switch {
		case spelled(lst.entries):
			byNumber(&lst)
		case lst.newest:
			slices.Reverse(lst.entries)
		default:
			v.proveSkip(l, &lst)
		}
		return lst, nil
	}
	if !lst.newest && cur == nil && lst.total != nil && *lst.total > limit && limit > 0 && l.Skip >= 0 {
		// Oldest first and long: the newest are at the end.
		if tail, ok := v.listFrom(l, *lst.total-limit); ok && len(tail.entries) > 0 && tail.entries[0].mark != lst.entries[0].mark && inOrder(lst.entries, tail.entries) {
			l.Skip = 1
			return tail, nil
		}
		l.Skip = -1
	}
	pages := map[string]bool{l.Entries: true}
	seen := map[string]bool{}
	for _, x := range lst.entries {
		seen[x.ID+x.Key] = true
	}
	for next != "" {
		known := cur != nil && slices.ContainsFunc(lst.entries, func(x entry) bool { return slices.Contains(cur.Marks, x.mark) })
		if lst.newest && (known || cur == nil && len(lst.entries) >= limit) {
			break
		}
		if pages[next] || len(pages) >= maxPages || len(lst.entries) >= maxEntries {
			break
		}
		pages[next] = true
		p, following, e := v.logPage(next, cur)
		if e != nil {
			if e.Reason == health.ReasonNotFound && statusCode(e) == 404 && !lst.newest {
				// Recorded trees and some firmware name a page that is not there: the log ends here.
				break
			}
			if lst.newest {
				slices.Reverse(lst.entries)
			}
			return lst, e
		}
		grown := false
		for _, x := range p.entries {
			if !seen[x.ID+x.Key] {
				seen[x.ID+x.Key] = true
				lst.entries = append(lst.entries, x)
				grown = true
			}
		}
		if !grown {
			break // the same page under another link
		}
		next = following
	}
	if spelled(lst.entries) {
		byNumber(&lst)
	} else if lst.newest {
		slices.Reverse(lst.entries)
	}
	return lst, nil
}

// listFrom reads a log from its nth entry on, by $skip.
func (v *visit) listFrom(l *logService, n int) (listing, bool) {
	if strings.Contains(l.Entries, "?") {
		return listing{}, false
	}
	lst, next, e := v.logPage(l.Entries+"?$skip="+strconv.Itoa(n), nil)
	for pages := 0; e == nil && next != "" && pages < maxPages && len(lst.entries) < maxEntries; pages++ {
		var p listing
		if p, next, e = v.logPage(next, nil); e == nil {
			if len(p.entries) == 0 || len(lst.entries) > 0 && p.entries[0].mark == lst.entries[0].mark {
				break
			}
			lst.entries = append(lst.entries, p.entries...)
		}
	}
	return lst, e == nil
}

// proveSkip learns, once per firmware, whether $skip works on a long log without pages: it saves the BMC from sending all
// of it every minute.
func (v *visit) proveSkip(l *logService, lst *listing) {
	if l.Skip != 0 || len(lst.entries) < proveSkipFrom || lst.total == nil || *lst.total != len(lst.entries) {
		return
	}
	tail, ok := v.listFrom(l, len(lst.entries)-1)
	if l.Skip = -1; ok && len(tail.entries) == 1 && tail.entries[0].mark == lst.entries[len(lst.entries)-1].mark {
		l.Skip = 1
	}
}

type logPageDoc struct {
	Members many[memberRef]
	Count   number `json:"Members@odata.count"`
	Next    link   `json:"@odata.nextLink"`
	Next2   link   `json:"Members@odata.nextLink"`
}

// logPage reads one page. Members that are links only are fetched, those around the known ones.
func (v *visit) logPage(uri string, cur *cursor) (lst listing, next string, _ *health.Error) {
	var d logPageDoc
	if e := v.into(uri, &d); e != nil {
		return lst, "", e
	}
	if d.Count.OK && d.Count.V >= 0 && d.Count.V < 1e9 {
		n := int(d.Count.V)
		lst.total = &n
	}
	refs := []memberRef(d.Members)
	if bare := slices.IndexFunc(refs, func(m memberRef) bool { return len(m.body) == 0 }); bare >= 0 {
		refs = v.entriesByLink(refs, cur)
	}
	for _, m := range refs {
		if len(m.body) > 0 {
			lst.entries = append(lst.entries, newEntry(string(m.uri), m.body))
		}
	}
	return lst, resolve(v.c.base, cmp.Or(d.Next, d.Next2)), nil
}

// maxEntryLinks bounds the entries fetched one by one in one page.
const maxEntryLinks = 100

// entriesByLink fetches entries that the collection only links (iDRAC 7, iLO 4): the newest ones, back to the newest
// known one.
func (v *visit) entriesByLink(refs []memberRef, cur *cursor) []memberRef {
	n := len(refs)
	newest := false
	if n > 1 {
		a, ok := numericID(segment(string(refs[0].uri)))
		b, ok2 := numericID(segment(string(refs[n-1].uri)))
		newest = ok && ok2 && a > b
	}
	if !newest {
		refs = slices.Clone(refs)
		slices.Reverse(refs)
	}
	want := []memberRef{}
	for _, m := range refs {
		if len(want) >= maxEntryLinks {
			break
		}
		want = append(want, m)
		if cur != nil && len(cur.Marks) > 0 && segment(string(m.uri)) == cur.Marks[0].ID {
			break
		}
	}
	var uris []string
	for _, m := range want {
		if u := v.link(m.uri); u != "" && len(m.body) == 0 {
			uris = append(uris, u)
		}
	}
	v.prefetch(uris)
	for i := range want {
		if u := v.link(want[i].uri); u != "" && len(want[i].body) == 0 {
			want[i].body, _ = v.get(u)
		}
	}
	if !newest {
		slices.Reverse(want)
	}
	return want
}
