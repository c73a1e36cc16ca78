package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// browser is a real one without a window, Debian's chromium, spoken to over two pipes in its DevTools protocol: a JSON message each, ended by
// a zero byte. What it says of itself while a page is open is kept.
type browser struct {
	t       *testing.T
	to      io.Writer
	from    *bufio.Reader
	n       int
	session string
	// since the page was opened
	requests []string
	said     []string // errors and warnings of its console
	loaded   bool
}

// browserPrograms are its names in Debian, the lighter one last: who has a whole one needs no other.
var browserPrograms = []string{"chromium", "chromium-headless-shell"}

// openBrowser starts a browser for a test. On a desk without one the test is skipped, under CI=true it fails.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range browserPrograms {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no browser: none of %q is installed", browserPrograms)
		}
		t.Skipf("no browser: none of %q is installed", browserPrograms)
	}
	read, theirWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	theirRead, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+home, "--remote-debugging-pipe", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.ExtraFiles = []*os.File{theirRead, theirWrite} // descriptors 3 and 4, as the flag wants them
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirRead.Close()
	theirWrite.Close()
	b := &browser{t: t, to: write, from: bufio.NewReader(read)}
	t.Cleanup(func() {
		_, _ = write.WriteString(`{"id":0,"method":"Browser.close"}` + "\x00") // it may have ended
		write.Close()
		_ = cmd.Wait() // however it ends
		read.Close()
		if t.Failed() && b.n < 10 { // it did not come up
			t.Logf("the browser's standard error:\n%s", stderr.String())
		}
	})
	var made struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Log", "Runtime"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// call asks the browser something and waits for the answer.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.n++
	request := map[string]any{"id": b.n, "method": method}
	if params != nil {
		request["params"] = params
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	raw, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(raw, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := b.next(method)
		if m.ID != b.n {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

type browserMessage struct {
	ID            int
	Method        string
	Result, Error json.RawMessage
	Params        struct {
		Request struct{ URL string }
		Entry   struct{ Level, Text string }
		Type    string
		Details json.RawMessage `json:"exceptionDetails"`
	}
}

// next is the browser's next message. What tells of the page is noted.
func (b *browser) next(during string) *browserMessage {
	b.t.Helper()
	raw, err := b.from.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("%s: the browser says no more: %v", during, err)
	}
	m := &browserMessage{}
	if err := json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), m); err != nil {
		b.t.Fatalf("%s: %v", during, err)
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		b.requests = append(b.requests, m.Params.Request.URL)
	case "Log.entryAdded":
		b.said = append(b.said, m.Params.Entry.Level+": "+m.Params.Entry.Text)
	case "Runtime.consoleAPICalled":
		b.said = append(b.said, "console."+m.Params.Type)
	case "Runtime.exceptionThrown":
		b.said = append(b.said, string(m.Params.Details))
	case "Page.loadEventFired":
		b.loaded = true
	}
	return m
}

// open loads a page that lies in a file, with nothing known of another one.
func (b *browser) open(path string) {
	b.t.Helper()
	whole, err := filepath.Abs(path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.requests, b.said, b.loaded = nil, nil, false
	page := (&url.URL{Scheme: "file", Path: whole}).String()
	b.call("Page.navigate", map[string]any{"url": page}, nil)
	for !b.loaded {
		b.next("load " + path)
	}
	if !slices.Equal(b.requests, []string{page}) {
		b.t.Errorf("%s asks for more than itself: %q", path, b.requests)
	}
}

// size makes the page as wide as a screen, or as wide as paper if it is to be printed.
func (b *browser) size(width int, media string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": media}, nil)
}

// ask evaluates an expression in the page, from outside of it.
func (b *browser) ask(expression string, result any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// pageLooks is what a page looks like. What may be scrolled within its own box may be wider than the page, on a screen.
const pageLooks = `(() => {
	const root = document.documentElement, wide = root.clientWidth;
	const boxed = e => { for (let p = e.parentElement; p; p = p.parentElement) if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
	const outside = [...document.body.querySelectorAll('*')].filter(e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.right > wide + 1 && !boxed(e); });
	const charts = [...document.querySelectorAll('figure svg')].map(e => { const r = e.getBoundingClientRect();
		return { width: r.width, height: r.height, marks: e.querySelectorAll('path,rect,line,polyline,circle').length,
			cut: [...e.querySelectorAll('text')].filter(x => { const q = x.getBoundingClientRect(); return q.left < r.left - 2 || q.right > r.right + 2; }).map(x => x.textContent) }; });
	const seen = s => { const e = document.querySelector(s); if (!e) return ''; const r = e.getBoundingClientRect(); return r.width > 50 && r.height > 10 && getComputedStyle(e).visibility === 'visible' ? e.innerText : ''; };
	const every = document.querySelector('.everypage');
	return { scrollWidth: root.scrollWidth, clientWidth: wide, scripts: document.scripts.length, outside: outside.slice(0, 5).map(e => e.tagName + ' ' + e.id + ' ' + e.textContent.slice(0, 40)),
		charts, banner: seen('.banner'), mark: every && getComputedStyle(every).display !== 'none' ? every.innerText : '', length: document.body.innerText.length };
})()`

type looks struct {
	ScrollWidth, ClientWidth, Scripts, Length int
	Outside                                   []string
	Charts                                    []struct {
		Width, Height float64
		Marks         int
		Cut           []string
	}
	Banner, Mark string
}

// inBrowser opens reports in a real browser and looks at what only that can tell: that nothing else is loaded, nothing complained of, nothing
// wider than the screen or the paper, and that verdict and charts can be seen.
func inBrowser(t *testing.T, pages map[string]string) {
	b := openBrowser(t)
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		verdict := pages[path]
		b.open(path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		simulated := bytes.Contains(text, []byte("SIMULATED"))
		for _, x := range []struct {
			name  string
			width int
			media string
		}{{"a desk", 1280, "screen"}, {"A4", 794, "screen"}, {"a telephone", 400, "screen"}, {"A4 less its margins, printed", 688, "print"}} {
			b.size(x.width, x.media)
			var l looks
			b.ask(pageLooks, &l)
			where := fmt.Sprintf("%s on %s", path, x.name)
			if l.ClientWidth != x.width || l.ScrollWidth > l.ClientWidth || len(l.Outside) > 0 {
				t.Errorf("%s: %d wide of %d, outside: %q", where, l.ScrollWidth, l.ClientWidth, l.Outside)
			}
			if l.Scripts > 0 {
				t.Errorf("%s: %d scripts", where, l.Scripts)
			}
			if !strings.Contains(l.Banner, verdict) || l.Length < 2000 {
				t.Errorf("%s: the banner reads %q, want %q; %d characters can be read", where, l.Banner, verdict, l.Length)
			}
			if len(l.Charts) == 0 {
				t.Errorf("%s: no chart", where)
			}
			for i, c := range l.Charts {
				if c.Width < 200 || c.Height < 20 || c.Width > float64(x.width) || c.Marks == 0 || len(c.Cut) > 0 {
					t.Errorf("%s: chart %d is %v by %v with %d marks; cut: %q", where, i, c.Width, c.Height, c.Marks, c.Cut)
				}
			}
			if printed := x.media == "print"; (simulated && printed) != (l.Mark != "") || l.Mark != "" && !strings.Contains(l.Mark, "SIMULATED") {
				t.Errorf("%s: every page is marked %q", where, l.Mark)
			}
		}
		var out struct{ Data string }
		b.call("Page.printToPDF", map[string]any{"preferCSSPageSize": true, "printBackground": true}, &out)
		pdf, err := base64.StdEncoding.DecodeString(out.Data)
		if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF-")) || bytes.Count(pdf, []byte("/Type /Page\n")) < 3 {
			t.Errorf("%s: printed, it is %d bytes with %d pages, %v", path, len(pdf), bytes.Count(pdf, []byte("/Type /Page\n")), err)
		}
		b.size(794, "screen")
		b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &out)
		raw, err := base64.StdEncoding.DecodeString(out.Data)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: the picture: %v", path, err)
		}
		colours := map[[4]uint32]bool{}
		for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y += 3 {
			for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x += 3 {
				r, g, bl, a := picture.At(x, y).RGBA()
				colours[[4]uint32{r, g, bl, a}] = true
			}
		}
		if picture.Bounds().Dx() != 794 || len(colours) < 8 {
			t.Errorf("%s: a picture %d wide with %d colours", path, picture.Bounds().Dx(), len(colours))
		}
		if len(b.said) > 0 {
			t.Errorf("%s: the browser complains: %q", path, b.said)
		}
	}
}

// TestTheReportsPageInABrowser opens the golden page; TestDemo the pages that it made, which say that they are simulated.
func TestTheReportsPageInABrowser(t *testing.T) {
	t.Parallel()
	inBrowser(t, map[string]string{filepath.Join("testdata", "verification", "report.html"): "Fault found"})
}
