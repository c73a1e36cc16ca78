package influx

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// chunkRows is how many rows the server puts into one part of its answer.
	chunkRows = 5000
	// maxChunk bounds one part of an answer, in bytes.
	maxChunk = 64 << 20
	// maxTries is how often a query is asked before its failure is reported: reading again changes nothing.
	maxTries = 4
	// patience is how many time-outs of a write a query may be silent: it may have to read a lot before its first row.
	patience = 3
)

// Reader reads back what a Sink wrote, with InfluxQL at /query: 1.8 has it, and 2.x and 3.x for a bucket that is mapped to a database
// of its name. It may be used from several goroutines.
type Reader struct {
	o      Options
	url    string // of /query
	params url.Values
	client *http.Client
	hide   *strings.Replacer
	back   backoff
}

// NewReader checks the options and makes a Reader. It does no I/O. Name, BatchLines and Log mean nothing to it.
func NewReader(o Options) (*Reader, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	db, rp, _ := strings.Cut(o.Bucket, "/")
	r := &Reader{
		o: o, url: strings.TrimSuffix(o.URL, "/") + "/query", hide: hider(o.Token.Reveal()), back: backoff{time.Second / 2, 5 * time.Second},
		params: url.Values{"db": {db}, "epoch": {"ns"}, "chunked": {"true"}, "chunk_size": {strconv.Itoa(chunkRows)}},
		client: &http.Client{
			Transport:     newTransport(o.CAFile, o.Insecure),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if rp != "" {
		r.params.Set("rp", rp)
	}
	return r, nil
}

// Source names the server for a report.
func (r *Reader) Source() string { return "InfluxDB at " + r.o.URL }

// Close ends idle connections.
func (r *Reader) Close() { r.client.CloseIdleConnections() }

// rows are some rows of one series of an answer. The next ones of the same series may come in another.
type rows struct {
	Name    string            `json:"name"`
	Tags    map[string]string `json:"tags"`
	Columns []string          `json:"columns"`
	Values  table             `json:"values"`
}

// column is where a column stands, -1 if the answer has none of that name.
func (s *rows) column(name string) int { return slices.Index(s.Columns, name) }

// cell is one value of an answer. Of a number both num and whole are set.
type cell struct {
	text  string
	num   float64
	whole int64
	null  bool
}

// get is the cell of a column, null for a column that is not there.
func get(row []cell, column int) cell {
	if column < 0 || column >= len(row) {
		return cell{null: true}
	}
	return row[column]
}

// answered is one part of an answer.
type answered struct {
	Error   string `json:"error"`
	Message string `json:"message"` // 2.x
	Results []struct {
		Statement int    `json:"statement_id"`
		Error     string `json:"error"`
		Partial   bool   `json:"partial"`
		Series    []rows `json:"series"`
	} `json:"results"`
}

// ask runs statements, one after the other in one request. begin is called before each attempt: what an attempt before it gave is
// void. f is given the rows as they come.
func (r *Reader) ask(ctx context.Context, statements []string, begin func(), f func(statement int, s *rows) error) error {
	for try := 1; ; try++ {
		begin()
		err := r.once(ctx, statements, f)
		again, ok := errors.AsType[*failure](err)
		switch {
		case err == nil || ctx.Err() != nil || !ok:
			return err
		case again.verdict != kept || try == maxTries:
			again.text = r.hide.Replace(again.text)
			return fmt.Errorf("read %s: %w", r.Source(), again)
		}
		if !r.back.wait(ctx, try-1, min(again.retryAfter, 30*time.Second)) {
			return ctx.Err()
		}
	}
}

// final is a failure that asking again does not mend.
func final(f *failure) *failure {
	f.verdict = refused
	return f
}

func (r *Reader) once(ctx context.Context, statements []string, f func(int, *rows) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := &failure{kind: "timeout", text: fmt.Sprintf("no answer within %s", patience*r.o.Timeout)}
	timer := time.AfterFunc(patience*r.o.Timeout, func() { cancel(silent) })
	defer timer.Stop()

	form := url.Values{"q": {strings.Join(statements, "; ")}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"?"+r.params.Encode(), strings.NewReader(form.Encode()))
	if err != nil {
		return final(&failure{text: fieldText(err.Error())})
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	token := r.o.Token.Reveal()
	if user, password, ok := strings.Cut(token, ":"); ok { // 1.8 reads no "Token user:password" with a space in it
		req.SetBasicAuth(user, password)
	} else if token != "" {
		req.Header.Set("Authorization", "Token "+token)
	}
	broken := func(err error) error {
		if errors.Is(context.Cause(ctx), silent) {
			return silent
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return judgeError(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return broken(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what cannot be read of a refusal tells nothing
		return judgeQuery(answer{resp.StatusCode, resp.Header, body})
	}
	body := &measured{r: resp.Body, alive: func() { timer.Reset(patience * r.o.Timeout) }}
	d := json.NewDecoder(body)
	open := map[int]bool{} // statements that were answered: whether more of them is to come
	for {
		body.left = maxChunk
		var part answered
		switch err := d.Decode(&part); {
		case errors.Is(err, io.EOF):
			for n := range open {
				if open[n] {
					return final(&failure{text: "the answer was cut off: the server sends no more rows", hint: "raise max-row-limit of its configuration, or set it to 0"})
				}
			}
			if len(open) < len(statements) { // the server names each, one without rows too; what stands between may close a connection as if all was said
				return &failure{text: fmt.Sprintf("the answer was cut off: of %d statements only %d were answered", len(statements), len(open))}
			}
			return nil
		case errors.Is(err, errTooLarge):
			return final(&failure{text: err.Error()})
		case err != nil && ctx.Err() == nil && isSyntax(err):
			return final(&failure{text: "the answer is none of InfluxDB's: " + fieldText(err.Error()), hint: "check url"})
		case err != nil:
			return broken(err)
		}
		if text := cmp.Or(part.Error, part.Message); text != "" {
			return judgeWords(text)
		}
		for i := range part.Results {
			res := &part.Results[i]
			if res.Error != "" {
				return judgeWords(res.Error)
			}
			open[res.Statement] = res.Partial
			for k := range res.Series {
				if err := f(res.Statement, &res.Series[k]); err != nil {
					return err
				}
			}
		}
	}
}

func isSyntax(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || kind || errors.Is(err, errTable)
}

// judgeQuery sorts answers that have no rows.
func judgeQuery(a answer) *failure {
	f := &failure{status: a.status, text: words(a), retryAfter: retryAfter(a.header, time.Now()), verdict: refused}
	switch {
	case a.status == http.StatusUnauthorized:
		f.hint = `check token; for 1.8 it is "user:password"`
	case a.status == http.StatusForbidden:
		f.hint = "the token must be allowed to read the bucket"
	case a.status == http.StatusNotFound:
		f.hint = `no InfluxQL there; check url and bucket ("database/retention policy" for 1.8; for 2.x a bucket mapped to a database)`
	case a.status == http.StatusTooManyRequests, a.status >= 500:
		f.verdict = kept
	case a.status/100 == 3:
		f.text, f.hint = "redirected to "+fieldText(a.header.Get("Location")), "set url to where the server is"
	}
	return f
}

// judgeWords sorts what InfluxDB says inside an answer of status 200.
func judgeWords(text string) *failure {
	f := &failure{text: fieldText(text), verdict: refused}
	switch low := strings.ToLower(text); {
	case strings.Contains(low, "database not found"), strings.Contains(low, "retention policy not found"):
		f.hint = `check bucket: "database/retention policy" for 1.8`
	case strings.Contains(low, "not authorized"):
		f.hint = "the user must be allowed to read the database"
	case strings.Contains(low, "max-concurrent-queries"): // others' queries end
		f.verdict, f.hint = kept, "the server bounds its queries: see [coordinator] of its configuration"
	case strings.Contains(low, "timeout"), strings.Contains(low, "max-select"), strings.Contains(low, "interrupted"):
		f.hint = "the server bounds its queries: see [coordinator] of its configuration"
	}
	return f
}

var errTooLarge = errors.New("one part of the answer is larger than dewline takes")

// measured tells of each sign of life, and ends a part that is too large.
type measured struct {
	r     io.Reader
	alive func()
	left  int
}

func (m *measured) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooLarge
	}
	n, err := m.r.Read(b[:min(len(b), m.left)])
	if m.left -= n; n > 0 {
		m.alive()
	}
	return n, err
}

// table is the rows of an answer: encoding/json would make an interface of every number.
type table [][]cell

var errTable = errors.New("rows of an answer are lists of plain values")

// UnmarshalJSON reads [[…], …] of numbers, texts, true, false and null. What it is given is well-formed JSON.
func (t *table) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '[' {
		return errTable
	}
	width := 0
	for i := 1; i < len(b); {
		switch b[i] {
		case '[':
			row := make([]cell, 0, width)
			for i++; b[i] != ']'; {
				if c := b[i]; c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r' {
					i++
					continue
				}
				c, n, err := readCell(b[i:])
				if err != nil {
					return err
				}
				row, i = append(row, c), i+n
			}
			width = len(row)
			*t = append(*t, row)
			i++
		case ',', ' ', '\n', '\t', '\r', ']':
			i++
		default:
			return errTable
		}
	}
	return nil
}

// readCell reads the value at the beginning of b, and how long it is.
func readCell(b []byte) (c cell, n int, err error) {
	switch b[0] {
	case 'n':
		return cell{null: true}, 4, nil
	case 't':
		return cell{num: 1, whole: 1}, 4, nil
	case 'f':
		return cell{}, 5, nil
	case '"':
		for n = 1; b[n] != '"'; n++ {
			if b[n] == '\\' {
				n++
			}
		}
		n++
		err = json.Unmarshal(b[:n], &c.text)
		return c, n, err
	case '[', '{':
		return c, 0, errTable
	}
	for n < len(b) && b[n] != ',' && b[n] != ']' && b[n] != ' ' && b[n] != '\n' {
		n++
	}
	whole := !bytes.ContainsAny(b[:n], ".eE")
	if whole {
		if c.whole, err = strconv.ParseInt(string(b[:n]), 10, 64); err == nil {
			c.num = float64(c.whole)
			return c, n, nil
		}
	}
	if c.num, err = strconv.ParseFloat(string(b[:n]), 64); err != nil {
		return c, n, errTable
	}
	return c, n, nil
}

// quoted is a text as InfluxQL writes it.
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(s) + "'"
}

// during is a condition on the time: from <= time < to. A zero time is no bound.
func during(from, to time.Time) string {
	var s string
	if !from.IsZero() {
		s += " AND time >= " + strconv.FormatInt(from.UnixNano(), 10)
	}
	if !to.IsZero() {
		s += " AND time < " + strconv.FormatInt(to.UnixNano(), 10)
	}
	return s
}
