package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/config"
)

// The daemon listens on data_dir/control.sock, which only its owner can open. HTTP over it carries what other dewline
// commands ask of it: POST /poll, POST /reload, POST /quarantine, POST /action (what operators enter into the record),
// POST /verification (one to be watched, or no more).

// controlSocket is the path of the daemon's socket.
func controlSocket(dataDir string) string { return filepath.Join(dataDir, "control.sock") }

// maxControlBody bounds what is read from the socket, either way: the largest machine seen polls to 3 MB.
const maxControlBody = 64 << 20

type pollRequest struct {
	Target   health.TargetID `json:"target"`
	LogLimit int             `json:"log_limit"`
	// Readings: that tier alone. Nonce and Like, if given, are of the target as the asker knows it (definitionDigest): of another
	// one the daemon says 409.
	Readings bool   `json:"readings,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
	Like     string `json:"like,omitempty"`
}

// listenControl makes the socket. The store's lock has shown that no other daemon runs here, so a socket that is there was
// left behind. It is nil and no error where the path of data_dir is too long for one.
func listenControl(ctx context.Context, path string, log *slog.Logger) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old control socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EINVAL) { // a socket's path holds 107 bytes on Linux
		log.Warn("data_dir is too long a path for a control socket: `dewline poll` will open sessions of its own, and only SIGHUP reloads", "path", path)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // the folder is 0700 already
		return nil, errors.Join(fmt.Errorf("protect the control socket: %w", err), l.Close())
	}
	return l, nil
}

// serveControl answers on the socket until ctx ends.
func serveControl(ctx context.Context, l net.Listener, d *service) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /poll", func(w http.ResponseWriter, r *http.Request) { d.answerPoll(w, r) })
	mux.HandleFunc("POST /watches", d.answerWatches)
	mux.HandleFunc("POST /reload", d.answerReload)
	mux.HandleFunc("POST /quarantine", d.answerQuarantine)
	mux.HandleFunc("POST /action", d.answerAction)
	mux.HandleFunc("POST /verification", d.answerVerification)
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			_ = srv.Close()
		}
	}()
	err := srv.Serve(l)
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	<-stopped
	return nil
}

// answerWatches says whether this daemon reads a target, and so has a session on its BMC.
func (d *service) answerWatches(w http.ResponseWriter, r *http.Request) {
	var req pollRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if _, reads := (*d.targets.Load())[req.Target]; !reads {
		http.Error(w, "not read here", http.StatusNotFound)
	}
}

func (d *service) answerPoll(w http.ResponseWriter, r *http.Request) {
	var req pollRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if t, ok := d.target(req.Target); ok && req.Nonce != "" && definitionDigest(req.Nonce, t) != req.Like {
		http.Error(w, "it is configured otherwise here", http.StatusConflict)
		return
	}
	tiers := health.EveryTier
	if req.Readings {
		tiers = health.TiersOf(health.TierReadings)
	}
	v, err := d.collector.Ask(r.Context(), req.Target, tiers, req.LogLimit)
	if err == nil && v.Cost.Requests+v.Cost.Exchanges > 0 { // else it was not tried
		d.denials.take(v)
	}
	switch {
	case errors.Is(err, collector.ErrNoTarget):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(newPollDoc(v)) // who asked has gone: nothing to tell anyone
}

// definitionDigest tells whether two configurations reach a target alike: address, driver, credential, verification.
func definitionDigest(nonce string, t *config.Target) string {
	h := hmac.New(sha256.New, []byte(nonce))
	password, err := t.Credential.Password.Resolve()
	fmt.Fprintf(h, "%q %q %q %q %q %v %+v %q %q %v", t.Address, t.Driver, t.Credential.Name, t.Credential.Username, password.Reveal(), err != nil, t.TLS, t.Auth, t.Privilege, t.CipherSuites)
	return hex.EncodeToString(h.Sum(nil))
}

// pollDaemon asks the running daemon for a reading. It returns nil and no error if there is no daemon, or one that does
// not read this target: then the BMC is read directly.
func pollDaemon(ctx context.Context, dataDir string, req pollRequest) (doc *pollDoc, err error) {
	defer func() {
		if err == nil {
			return
		}
		reason := health.ReasonServerError
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			reason = health.ReasonStopped
		case ctx.Err() != nil:
			reason, err = health.ReasonTimeout, errors.New("no answer in time: the daemon still waits for this BMC")
		}
		err = &health.Error{Reason: reason, Op: "ask the daemon", Err: err}
	}()
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	resp, err := askDaemon(ctx, dataDir, "/poll", body)
	if err != nil || resp == nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusConflict {
		return nil, nil
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxControlBody))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	doc = &pollDoc{}
	if err := json.Unmarshal(answer, doc); err != nil {
		return nil, fmt.Errorf("read its answer: %w", err)
	}
	return doc, nil
}

// askDaemon posts to the daemon of a data_dir. It returns nil and no error if there is no daemon, or one that is not ours
// to ask.
func askDaemon(ctx context.Context, dataDir, path string, body []byte) (*http.Response, error) {
	socket := controlSocket(dataDir)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dewline"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return nil, nil
	}
	return resp, err
}
