package bmcsim

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dewline/internal/capture"
)

const (
	maxTreeFile  = 64 << 20
	maxTreeFiles = 100_000
)

// ServeTree serves a recorded Redfish tree: documents by path ("/redfish/v1/Chassis/1"). What is not recorded is 404. The
// session service is emulated whether or not it was recorded.
func ServeTree(tree map[string][]byte, o RedfishOptions) (*RedfishServer, error) {
	if len(tree) == 0 {
		return nil, errors.New("serve tree: it is empty")
	}
	t := make(recordedTree, len(tree))
	for p, b := range tree {
		t[cleanPath(p)] = b
	}
	return serveResources("recorded", t, o)
}

// ServeRecording serves a recorded service: also the refusals that were recorded.
func ServeRecording(r *capture.Recording, o RedfishOptions) (*RedfishServer, error) {
	tree := map[string][]byte{}
	for _, d := range r.Documents {
		if d.Status == http.StatusOK && !strings.Contains(d.URL, "?") {
			tree[d.URL] = d.Body
		}
	}
	s, err := ServeTree(tree, o)
	if err != nil {
		return nil, err
	}
	for _, d := range r.Documents {
		if d.Status == http.StatusOK || d.Status == 0 || d.Status == http.StatusUnauthorized || strings.Contains(d.URL, "?") {
			continue
		}
		s.Hook(d.URL, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range d.Header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(d.Status)
			_, _ = w.Write(d.Body)
		})
	}
	return s, nil
}

type recordedTree map[string][]byte

func (t recordedTree) get(path string, _ time.Time) (any, bool) {
	b, ok := t[path]
	if !ok || path == sessionService || strings.HasPrefix(path, sessionService+"/") {
		return nil, false // live sessions, not the recorded ones
	}
	return b, true
}

// LoadCapture reads a recorded tree from a .tar.gz file or an unpacked folder: NAME/index.json is /redfish/v1,
// NAME/X/index.json is /redfish/v1/X. Other files are left out.
func LoadCapture(path string) (map[string][]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("load capture: %w", err)
	}
	var tree map[string][]byte
	if st.IsDir() {
		tree, err = loadFolder(path)
	} else {
		tree, err = loadTarball(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load capture %s: %w", path, err)
	}
	if _, ok := tree["/redfish/v1"]; !ok {
		return nil, fmt.Errorf("load capture %s: no NAME/index.json in it", path)
	}
	return tree, nil
}

// capturePath is the URL path of a file in a capture, "" for a file that is no document.
func capturePath(name string) string {
	parts := strings.Split(strings.TrimPrefix(filepath.ToSlash(name), "./"), "/")
	if len(parts) < 2 || parts[len(parts)-1] != "index.json" {
		return ""
	}
	return strings.TrimRight("/redfish/v1/"+strings.Join(parts[1:len(parts)-1], "/"), "/")
}

func loadFolder(dir string) (map[string][]byte, error) {
	tree := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(filepath.Dir(filepath.Clean(dir)), p)
		if err != nil {
			return err //nolint:wrapcheck // wrapped by LoadCapture
		}
		if u := capturePath(rel); u != "" {
			tree[u], err = os.ReadFile(p)
		}
		return err
	})
	return tree, err //nolint:wrapcheck // wrapped by LoadCapture
}

func loadTarball(path string) (map[string][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by LoadCapture
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	defer z.Close()
	tree := map[string][]byte{}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return tree, nil
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		u := capturePath(h.Name)
		if h.Typeflag != tar.TypeReg || u == "" {
			continue
		}
		if h.Size > maxTreeFile || len(tree) >= maxTreeFiles {
			return nil, fmt.Errorf("unpack %s: too large", h.Name)
		}
		if tree[u], err = io.ReadAll(io.LimitReader(t, maxTreeFile)); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}
