// Package notifytest starts a real Alertmanager for tests. It is prometheus-alertmanager or alertmanager in PATH; without one the test is
// skipped, and fails where CI is "true".
package notifytest

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Alertmanager starts a real one on loopback, without its cluster listener. It ends with the test.
func Alertmanager(t *testing.T) (url string) {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if program, err = exec.LookPath("alertmanager"); err != nil {
			missing("no prometheus-alertmanager: run tools/real-parts.sh")
		}
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(conf, []byte("route:\n  receiver: none\nreceivers:\n- name: none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for try := 1; ; try++ { // between the choice of a port and its use another may take it
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		cmd := exec.Command(program, "--config.file="+conf, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
		log, err := os.Create(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			<-done
			log.Close()
		})
		if up(t, "http://"+address, done) {
			return "http://" + address
		}
		if try == 3 {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("alertmanager does not start:\n%s", text)
		}
	}
}

// up waits until it answers; false if it has ended.
func up(t *testing.T, url string, done <-chan struct{}) bool {
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := http.Get(url + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-done:
			return false
		case <-deadline:
			t.Fatal("alertmanager does not answer")
		case <-tick.C:
		}
	}
}

// Alert is one as Alertmanager tells of it.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// All is every alert that fires in an Alertmanager.
func All(t *testing.T, url string) []Alert {
	t.Helper()
	resp, err := http.Get(url + "/api/v2/alerts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []Alert
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Firing is what fires in an Alertmanager, by alertname and severity.
func Firing(t *testing.T, url string) map[string]Alert {
	t.Helper()
	out := map[string]Alert{}
	for _, a := range All(t, url) {
		out[a.Labels["alertname"]+"/"+a.Labels["severity"]] = a
	}
	return out
}
