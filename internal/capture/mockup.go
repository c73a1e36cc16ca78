package capture

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A mock-up is a recorded Redfish tree as DMTF's Redfish-Mockup-Creator leaves it: NAME/index.json is /redfish/v1 (short
// form), or redfish/v1/index.json is. It says nothing of when it was made, or of what was not read.

// mockupURL is the URL of a file of a mock-up, "" for a file that is no document.
func mockupURL(name string) string {
	parts := strings.Split(strings.TrimPrefix(filepath.ToSlash(name), "./"), "/")
	if len(parts) < 2 || parts[len(parts)-1] != indexName {
		return ""
	}
	parts = parts[:len(parts)-1]
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return ""
		}
	}
	for i := 0; i+1 < len(parts) && i < 3; i++ { // the long form, below up to two folders
		if parts[i] == "redfish" && parts[i+1] == "v1" {
			return "/" + strings.Join(parts[i:], "/")
		}
	}
	return strings.TrimSuffix("/redfish/v1/"+strings.Join(parts[1:], "/"), "/")
}

// notMockup refuses a recording of dewline's that was taken apart and packed, or left, without its manifest in front: nothing
// vouches for what was edited, and its refusals and gaps would be gone.
func notMockup(name string) error {
	switch strings.TrimPrefix(filepath.ToSlash(name), "./") {
	case manifestName, redfishName, ipmiName:
		return damaged("it holds %s and does not begin with %s: a recording of dewline that was changed; replay it as it was recorded", name, manifestName)
	}
	return nil
}

// mockup gathers documents.
type mockup struct {
	docs  map[string]*Document
	list  []*Document
	total int64
	most  int64     // what total may be
	time  time.Time // of the newest file
}

func (m *mockup) wants(name string, size int64) (string, error) {
	url := mockupURL(name)
	if url == "" {
		return "", nil
	}
	if size < 0 || size > maxEntry {
		return "", damaged("%.80q is larger than %d MiB", name, maxEntry>>20)
	}
	if _, twice := m.docs[url]; twice {
		return "", damaged("%s is there twice", url)
	}
	if m.total += size; m.total > m.most || len(m.list) >= maxEntries {
		return "", damaged("more than %d files or %d MiB", maxEntries, m.most>>20)
	}
	return url, nil
}

func (m *mockup) add(url string, body []byte, at time.Time) {
	if at.After(m.time) {
		m.time = at
	}
	d := &Document{URL: url, Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/json"}, Body: body}
	m.docs[url] = d
	m.list = append(m.list, d)
}

func (m *mockup) recording() (*Recording, error) {
	if m.docs["/redfish/v1"] == nil {
		return nil, fmt.Errorf("%w, and no Redfish mock-up: no NAME/index.json or redfish/v1/index.json in it", ErrNoRecording)
	}
	return &Recording{
		Manifest: Manifest{
			Format: FormatVersion, Protocol: ProtocolRedfish, Time: m.time.UTC(), Finished: m.time.UTC(),
			Redaction: Redaction{Method: "none: a mock-up of another program"}, Counts: Counts{Documents: len(m.list)},
		},
		Documents: m.list,
	}, nil
}

func readMockup(t *tar.Reader, h *tar.Header, total int64) (*Recording, error) {
	m := &mockup{docs: map[string]*Document{}, most: total}
	for n := 0; ; n++ {
		if n > 2*maxEntries {
			return nil, damaged("more than %d entries", 2*maxEntries)
		}
		if err := notMockup(h.Name); err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg {
			url, err := m.wants(h.Name, h.Size)
			if err != nil {
				return nil, err
			}
			if url != "" {
				b, err := readEntry(t, h)
				if err != nil {
					return nil, err
				}
				m.add(url, b, h.ModTime)
			}
		}
		var err error
		if h, err = t.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, damaged("%v", err)
		}
	}
	return m.recording()
}

func openFolder(dir string) (*Recording, error) {
	root, err := os.OpenRoot(dir) // a link in it leads nowhere outside
	if err != nil {
		return nil, err //nolint:wrapcheck // names the folder
	}
	defer root.Close() //nolint:errcheck // read only
	m := &mockup{docs: map[string]*Document{}, most: maxTotal}
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := notMockup(p); err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err //nolint:wrapcheck // names the file
		}
		url, err := m.wants("mockup/"+p, st.Size())
		if err != nil || url == "" {
			return err
		}
		b, err := root.ReadFile(p)
		if err != nil {
			return err //nolint:wrapcheck // names the file
		}
		m.add(url, b, st.ModTime())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	r, err := m.recording()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return r, nil
}
