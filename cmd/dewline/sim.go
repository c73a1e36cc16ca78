package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/drivers/replay"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/capture"
	"dewline/internal/secret"
)

type simFlags struct {
	servers, replays, faults                           []string
	scenario, configOut, username, password, controlAt string
	firstPort                                          int
	seed                                               uint64
	length                                             time.Duration
}

func (p *program) simCommand() *cobra.Command {
	var f simFlags
	var profiles []string
	for _, pr := range bmcsim.Profiles() {
		profiles = append(profiles, pr.Name)
	}
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "simulated or recorded BMCs on loopback, with faults on request",
		Long: `Sim serves BMCs on this machine's loopback until Ctrl-C: simulated ones, and recorded ones (--replay). It prints how each is
reached; --config-out writes a configuration for ` + "`dewline run`" + ` and ` + "`dewline poll`" + ` whose data is marked as simulated.

Faults come from --fault, from a scenario file (docs/SCENARIOS.md), and from ` + "`dewline sim fault`" + ` while it runs. A fault is
NAME[=VALUE]@TARGET[+AFTER][/FOR]; TARGET is a name or * for all; ` + "`dewline sim faults`" + ` lists the names.

Profiles: ` + strings.Join(profiles, ", ") + `.`,
		Example: `  dewline sim --config-out sim.toml                           six servers, three over Redfish, three over IPMI
  dewline sim --server gpu=modern --server nas=whitebox/ipmi --fault wet@gpu+10s/1m --fault packet-loss=20@nas
  dewline sim --replay r750.tar.gz --fault 503=/redfish/v1/Chassis@r750
  dewline sim fault --control sim.sock fan-failed=1@gpu/30s`,
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.servers, "server", nil, "serve `NAME=PROFILE[/redfish or /ipmi]`; may be given again (default: six)")
	fl.StringArrayVar(&f.replays, "replay", nil, "serve a recording: a `file` of dewline record, or a Redfish mock-up; may be given again")
	fl.StringArrayVar(&f.faults, "fault", nil, "a `fault`: NAME[=VALUE]@TARGET[+AFTER][/FOR]; may be given again")
	fl.StringVar(&f.scenario, "scenario", "", "a scenario `file` of faults (docs/SCENARIOS.md)")
	fl.StringVar(&f.configOut, "config-out", "", "write a configuration for these BMCs to this `file`, and their password beside it")
	fl.StringVar(&f.username, "username", bmcsim.DefaultUsername, "user on all of them")
	fl.StringVar(&f.password, "password", "", "where the password is: env:NAME, file:PATH or cred:NAME (default: a known one; they are on loopback)")
	fl.StringVar(&f.controlAt, "control", "", "listen for `dewline sim fault` on this `socket`")
	fl.IntVar(&f.firstPort, "first-port", 0, "ports from this one on, in order (default: any free ones)")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the machines' noise")
	fl.DurationVar(&f.length, "for", 0, "end by itself after this long (default: until Ctrl-C)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return p.sim(cmd.Context(), f) }
	cmd.AddCommand(p.simFaultCommand(), p.simClearCommand(), p.simFaultsCommand())
	return cmd
}

func (p *program) sim(ctx context.Context, f simFlags) (err error) {
	if f.length < 0 {
		return usageError("--for %s: a positive duration", f.length)
	}
	if f.firstPort < 0 || f.firstPort > 65535 {
		return usageError("--first-port %d: 1 to 65535", f.firstPort)
	}
	password, ref, err := simPasswordOf(f.password)
	if err != nil {
		return err
	}
	var orders []bmcsim.Order
	for _, text := range f.faults {
		o, err := bmcsim.ParseOrder(text)
		if err != nil {
			return usageError("--fault: %w", err)
		}
		orders = append(orders, o)
	}
	var script *bmcsim.Script
	if f.scenario != "" {
		text, err := os.ReadFile(f.scenario)
		if err != nil {
			return err
		}
		if script, err = bmcsim.ParseScript(f.scenario, text); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	lab, err := startLab(f, password)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()

	if f.configOut != "" {
		if ref == "" {
			ref = "file:" + filepath.Base(f.configOut) + ".pass"
		}
		if err := writeSimConfig(f, lab, ref, password, f.password == ""); err != nil {
			return err
		}
	}
	if err := p.printLab(f, lab, ref); err != nil {
		return err
	}
	if f.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer time.AfterFunc(f.length, cancel).Stop()
	}
	stop, err := p.serveSimControl(ctx, f.controlAt, lab)
	if err != nil {
		return err
	}
	defer stop()
	now := time.Now()
	for _, o := range orders {
		if err := lab.Order(o, now); err != nil {
			return usageError("--fault: %w", err)
		}
	}
	if script != nil {
		if err := lab.Play(script, now); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	lab.Run(ctx, time.Now, func(err error) { fmt.Fprintln(p.stderr, "dewline sim:", printable(err.Error())) })
	return nil
}

// simPasswordOf is the password of the simulated BMCs, and what a configuration calls it.
func simPasswordOf(text string) (password, ref string, err error) {
	if text == "" {
		return bmcsim.DefaultPassword, "", nil
	}
	var r secret.Ref
	if err := r.UnmarshalText([]byte(text)); err != nil {
		return "", "", usageError("--password: %w", err)
	}
	if r.Inline() {
		return "", "", usageError("--password on the command line can be seen by every user of this machine: use env:NAME, file:PATH or cred:NAME")
	}
	s, err := r.Resolve()
	if err != nil {
		return "", "", usageError("--password: %w", err)
	}
	if path, is := strings.CutPrefix(text, "file:"); is { // of this folder, not of the configuration's
		if abs, err := filepath.Abs(path); err == nil {
			text = "file:" + abs
		}
	}
	return s.Reveal(), text, nil
}

// startLab puts everything that the flags name on the wire.
func startLab(f simFlags, password string) (*bmcsim.Lab, error) {
	var nodes []*bmcsim.Node
	fail := func(err error) (*bmcsim.Lab, error) {
		for _, n := range nodes {
			err = errors.Join(err, n.Close())
		}
		return nil, err
	}
	address := func() string {
		if f.firstPort == 0 {
			return "127.0.0.1:0"
		}
		return "127.0.0.1:" + strconv.Itoa(f.firstPort+len(nodes))
	}
	servers := f.servers
	if len(servers) == 0 && len(f.replays) == 0 {
		servers = []string{"web-1=legacy", "gpu-1=modern", "db-1=mixed", "nas-1=whitebox/ipmi", "app-1=board/ipmi", "mail-1=blade/ipmi"}
	}
	for _, text := range servers {
		name, what, _ := strings.Cut(text, "=")
		profileName, protocol, _ := strings.Cut(what, "/")
		i := slices.IndexFunc(bmcsim.Profiles(), func(p bmcsim.Profile) bool { return p.Name == profileName })
		if i < 0 || name == "" || protocol != "" && protocol != health.DriverRedfish && protocol != health.DriverIPMI {
			return fail(usageError("--server %q: NAME=PROFILE, NAME=PROFILE/redfish or NAME=PROFILE/ipmi\nTry 'dewline sim --help' for the profiles.", text))
		}
		profile := bmcsim.Profiles()[i]
		n := &bmcsim.Node{Name: name, Machine: bmcsim.NewMachine(profile, name, f.seed)}
		var err error
		if protocol == health.DriverIPMI {
			n.IPMI, err = bmcsim.ServeIPMI(n.Machine, bmcsim.IPMIOptions{Username: f.username, Password: password, Addr: address(), Privilege: 2})
		} else {
			n.Redfish, err = bmcsim.ServeRedfish(n.Machine, bmcsim.RedfishOptions{
				Username: f.username, Password: password, Addr: address(), Expand: profile.Redfish != bmcsim.ShapeLegacy,
			})
		}
		if err != nil {
			return fail(err)
		}
		nodes = append(nodes, n)
	}
	for _, file := range f.replays {
		n, err := serveRecording(file, f.username, password, address())
		if err != nil {
			return fail(err)
		}
		nodes = append(nodes, n)
	}
	lab, err := bmcsim.NewLab(nodes...)
	if err != nil {
		return fail(&exitError{exitUsage, err})
	}
	return lab, nil
}

// serveRecording puts a recorded BMC on the wire.
func serveRecording(file, username, password, address string) (*bmcsim.Node, error) {
	r, err := capture.Open(file)
	if err != nil {
		return nil, err
	}
	n := &bmcsim.Node{Name: string(replayName(file))}
	if r.Manifest.Protocol == capture.ProtocolIPMI {
		bmc, err := replay.NewIPMI(r)
		if err != nil {
			return nil, err
		}
		n.IPMI, err = bmcsim.ServeIPMI(bmcsim.NewMachine(bmcsim.ProfileBoard, n.Name, 1), bmcsim.IPMIOptions{
			Username: username, Password: password, Addr: address,
			Answer: func(netFn, cmd, lun byte, data []byte) (byte, []byte, bool) {
				code, out, err := bmc.Exchange(context.Background(), netFn, cmd, lun, data)
				return code, out, err != nil
			},
		})
		return n, err
	}
	n.Redfish, err = bmcsim.ServeRecording(r, bmcsim.RedfishOptions{Username: username, Password: password, Addr: address})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}

// printLab says how each BMC is reached.
func (p *program) printLab(f simFlags, lab *bmcsim.Lab, ref string) error {
	t := p.newTable("NAME", "ADDRESS", "FINGERPRINT")
	for _, n := range lab.Nodes {
		print := ""
		if n.Redfish != nil {
			print = n.Redfish.CertFingerprint()
		}
		t.row(n.Name, n.URL(), print)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if ref == "" {
		ref = "the known one of simulated BMCs (--config-out writes it to a file)"
	}
	fmt.Fprintf(p.stdout, "user %s, password %s\n", cellText(f.username), cellText(ref))
	if f.configOut != "" {
		fmt.Fprintf(p.stdout, "configuration: %s (dewline poll -c %s)\n", printable(f.configOut), printable(f.configOut))
	}
	if f.controlAt != "" {
		fmt.Fprintf(p.stdout, "control: dewline sim fault --control %s NAME[=VALUE]@TARGET\n", printable(f.controlAt))
	}
	_, err := fmt.Fprintln(p.stdout, "ready; Ctrl-C ends it")
	return err
}

// writeSimConfig writes a configuration that reads these BMCs. It overwrites nothing but what it wrote before.
func writeSimConfig(f simFlags, lab *bmcsim.Lab, ref, password string, passwordFile bool) error {
	const head = "# Written by dewline sim: simulated BMCs on loopback.\n"
	if old, err := os.ReadFile(f.configOut); err == nil && !strings.HasPrefix(string(old), head) {
		return fmt.Errorf("%s is there already and was not written by dewline sim: give another --config-out", f.configOut)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%sdata_dir = %s\n\n[[credential]]\nname = \"sim\"\nusername = %s\npassword = %s\n", head,
		tomlText(filepath.Base(f.configOut)+".data"), tomlText(f.username), tomlText(ref))
	for _, n := range lab.Nodes {
		fmt.Fprintf(&b, "\n[[target]]\nname = %s\naddress = %s\ncredential = \"sim\"\norigin = \"sim\" # its data is marked, for ever\n", tomlText(n.Name), tomlText(n.URL()))
		if n.Redfish != nil {
			fmt.Fprintf(&b, "tls = { fingerprint = %s }\n", tomlText(n.Redfish.CertFingerprint()))
		}
	}
	if passwordFile {
		if old, err := os.ReadFile(f.configOut + ".pass"); err == nil && string(old) != password+"\n" {
			return fmt.Errorf("%s.pass is there already and holds another password: give another --config-out", f.configOut)
		}
		if err := os.WriteFile(f.configOut+".pass", []byte(password+"\n"), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(f.configOut, []byte(b.String()), 0o600)
}

// tomlText is a text as TOML has it.
func tomlText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
