package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/internal/bmcsim"
)

// simRequest is one wish over the control socket of `dewline sim`.
type simRequest struct {
	Fault string `json:"fault,omitempty"`
	Clear string `json:"clear,omitempty"` // a fault, or all
	List  bool   `json:"list,omitempty"`
}

type simAnswer struct {
	Active  []string `json:"active"`
	Cleared int      `json:"cleared"`
	Error   string   `json:"error,omitempty"`
}

// serveSimControl listens on a unix socket, which only this user can reach. Stop ends it and waits.
func (p *program) serveSimControl(ctx context.Context, path string, lab *bmcsim.Lab) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("--control %s is there and is no socket", path)
		}
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("--control %s: another dewline sim listens there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answerSim(w, r, lab) }), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Close
	}()
	return func() {
		_ = srv.Close()
		<-done
	}, nil
}

func answerSim(w http.ResponseWriter, r *http.Request, lab *bmcsim.Lab) {
	var req simRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var a simAnswer
	var err error
	switch {
	case req.Fault != "":
		var o bmcsim.Order
		if o, err = bmcsim.ParseOrder(req.Fault); err == nil {
			err = lab.Order(o, time.Now())
		}
	case req.Clear != "":
		name := req.Clear
		if name == "all" {
			name = ""
		}
		a.Cleared, err = lab.Clear(name, time.Now())
	}
	if err != nil {
		a.Error = err.Error()
	}
	a.Active = append([]string{}, lab.Active()...)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // who asked has gone: nothing to tell anyone
}

// askSim sends a wish to a running sim.
func askSim(ctx context.Context, path string, req simRequest) (*simAnswer, error) {
	if path == "" {
		return nil, usageError("--control SOCKET is needed: the one that dewline sim was started with")
	}
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim/", strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err
		}
		return nil, fmt.Errorf("no dewline sim listens on %s: %w (start it with --control %s)", path, err, path)
	}
	defer resp.Body.Close()
	var a simAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&a); err != nil {
		return nil, fmt.Errorf("read its answer: %w", err)
	}
	if a.Error != "" {
		return &a, errors.New(a.Error)
	}
	return &a, nil
}

func (p *program) printActive(a *simAnswer) error {
	if len(a.Active) == 0 {
		_, err := fmt.Fprintln(p.stdout, "no fault in force")
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "in force: %s\n", printable(strings.Join(a.Active, ", ")))
	return err
}

func (p *program) simFaultCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "fault FAULT...",
		Short:   "have faults happen in a running dewline sim",
		Example: "  dewline sim fault --control sim.sock wet@gpu-1/30s\n  dewline sim fault --control sim.sock host-off@web-1 latency=2s@*",
		Args:    cobra.MinimumNArgs(1),
	}
	control := cmd.Flags().String("control", "", "the `socket` of dewline sim --control")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, text := range args { // all of them, or none
			if _, err := bmcsim.ParseOrder(text); err != nil {
				return &exitError{exitUsage, err}
			}
		}
		var last *simAnswer
		for _, text := range args {
			a, err := askSim(cmd.Context(), *control, simRequest{Fault: text})
			if err != nil {
				return err
			}
			last = a
		}
		return p.printActive(last)
	}
	return cmd
}

func (p *program) simClearCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "clear FAULT... | all",
		Short:   "end faults in a running dewline sim",
		Example: "  dewline sim clear --control sim.sock all\n  dewline sim clear --control sim.sock host-off@web-1",
		Args:    cobra.MinimumNArgs(1),
	}
	control := cmd.Flags().String("control", "", "the `socket` of dewline sim --control")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var last *simAnswer
		for _, text := range args {
			if text != "all" {
				o, err := bmcsim.ParseOrder(text)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				text = o.String()
			}
			a, err := askSim(cmd.Context(), *control, simRequest{Clear: text})
			if err != nil {
				return err
			}
			if a.Cleared == 0 && text != "all" {
				return fmt.Errorf("%s is not in force", text)
			}
			last = a
		}
		return p.printActive(last)
	}
	return cmd
}

func (p *program) simFaultsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "faults",
		Short:   "list the faults there are, or those in force in a running dewline sim",
		Example: "  dewline sim faults\n  dewline sim faults --control sim.sock",
		Args:    cobra.NoArgs,
	}
	control := cmd.Flags().String("control", "", "the `socket` of dewline sim --control")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *control != "" {
			a, err := askSim(cmd.Context(), *control, simRequest{List: true})
			if err != nil {
				return err
			}
			return p.printActive(a)
		}
		t := p.newTable("FAULT", "VALUE", "DEFAULT", "WHAT HAPPENS")
		for _, f := range bmcsim.NamedFaults() {
			t.row(f.Name, f.Value, f.Default, f.Does)
		}
		return t.flush()
	}
	return cmd
}
