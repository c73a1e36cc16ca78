package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dewline/report/evidence"
)

func (p *program) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify PATH",
		Short: "is this report (folder or ZIP) whole, and signed by this key?",
		Long: `Verify checks every file of a report against its signed list, offline. A file that was changed, added or removed fails, exit
code 1. Without --public-key it takes the key in the report itself: then the report is internally whole, and who signed it is unproven.`,
		Example: "  dewline report verify ./verification --public-key dewline-report.pub\n  dewline report verify verification.zip -o json",
		Args:    cobra.ExactArgs(1),
	}
	key := cmd.Flags().String("public-key", "", "the signer's public key `file`, as you got it from them")
	format := outputFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		var public []byte
		if *key != "" {
			var err error
			if public, err = os.ReadFile(*key); err != nil {
				return usageError("--public-key: %w", err)
			}
		}
		r, err := evidence.CheckPath(args[0], public)
		if err != nil {
			return err
		}
		if *format == "json" {
			err = p.verifyJSON(r)
		} else {
			p.verifyText(r)
		}
		if err == nil && !r.Whole() {
			return &exitError{code: exitFailed}
		}
		return err
	}
	return cmd
}

func (p *program) verifyJSON(r *evidence.Result) error {
	faults := r.Faults
	if faults == nil {
		faults = []string{}
	}
	return json.NewEncoder(p.stdout).Encode(struct {
		Version     int      `json:"version"`
		Whole       bool     `json:"whole"`
		Signed      bool     `json:"signed"`
		SignerKnown bool     `json:"signer_known"`
		Key         string   `json:"key,omitempty"`
		Comment     string   `json:"comment,omitempty"`
		Redacted    bool     `json:"redacted"`
		Files       int      `json:"files"`
		Faults      []string `json:"faults"`
	}{1, r.Whole(), r.Signed, r.Signed && r.Known, r.KeyID, r.Comment, isRedacted(r), r.Files, faults})
}

// isRedacted tells a report whose names were replaced: its signer says so.
func isRedacted(r *evidence.Result) bool { return strings.HasPrefix(r.Comment, evidence.Redacted+" ") }

// verifyText says in plain words what is proven, and what is not.
func (p *program) verifyText(r *evidence.Result) {
	for _, f := range r.Faults {
		fmt.Fprintln(p.stdout, printable(f))
	}
	if r.Comment != "" {
		fmt.Fprintf(p.stdout, "signed words: %s\n", printable(r.Comment))
	}
	if isRedacted(r) {
		fmt.Fprintln(p.stdout, "Redacted: names of people and addresses were replaced before it was signed. What stands in it is not what the BMCs said, word for word.")
	}
	switch {
	case !r.Whole():
		fmt.Fprintln(p.stdout, "NOT WHOLE: do not rely on this report.")
	case r.Known:
		fmt.Fprintf(p.stdout, "Whole: all %d files are as they were when the holder of key %s signed them.\n", r.Files, r.KeyID)
		fmt.Fprintln(p.stdout, "Not proven: that the BMCs told the truth, and when it was signed: its time is the signer's word.")
	default:
		fmt.Fprintf(p.stdout, "Internally whole, signer unproven: all %d files are as they were when they were signed with key %s, which lies in the report itself.\n", r.Files, r.KeyID)
		fmt.Fprintln(p.stdout, "Anyone could have changed the files and signed anew. Get the signer's public key from the signer and give it as --public-key.")
	}
}
