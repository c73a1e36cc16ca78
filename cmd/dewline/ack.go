package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dewline/health"
)

func (p *program) ackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ack FAULT-ID...",
		Short: "acknowledge faults: somebody looks after them",
		Long: `Ack notes who looks after a fault and why, for ever. It changes no fault and no verdict: the fault stays open until it is
cleared, and what changes of it is notified. --fail-on of faults leaves acknowledged ones out. The beginning of an ID will do, if
no other begins so. --until lets the acknowledgement lapse; --undo withdraws it. It works through the running daemon, or in the
store itself if none runs.`,
		Example: `  dewline ack 5b1e0c --why "fan ordered, ticket 4711"
  dewline ack 5b1e0c 77aa01 --by rina --why "drying out" --until 8h
  dewline ack 5b1e0c --undo --why "wrong server"`,
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) == 0 {
				return usageError("which faults? `dewline faults` lists them\nTry 'dewline ack --help'.")
			}
			return nil
		},
	}
	store, by := newStoreFlags(cmd), newByFlags(cmd)
	until := cmd.Flags().String("until", "", "until when: a `time`, or how long (8h, 2d); default: until it is withdrawn or the fault is over")
	undo := cmd.Flags().Bool("undo", false, "withdraw the acknowledgement")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, now := cmd.Context(), time.Now()
		act := health.Action{Kind: health.ActionAck, At: now}
		if err := by.apply(&act, p.getenv); err != nil {
			return err
		}
		if *until != "" {
			if *undo {
				return usageError("--undo has no --until")
			}
			t, err := untilWhen(*until, now)
			if err != nil {
				return usageError("--until: %w", err)
			}
			if !t.After(now) {
				return usageError("--until %s is over already", *until)
			}
			act.Until = t
		}
		if *undo {
			act.Kind = health.ActionUnack
		}
		dir, err := store.dir()
		if err != nil {
			return err
		}
		faults, err := p.findFaults(ctx, dir, args, *undo, now) // all of them, before anything is written
		if err != nil {
			return err
		}
		var done []*health.Action
		for i := range faults {
			a := act
			a.Fault = faults[i].ID
			if err := (actor{p, dir}).do(ctx, &a); err != nil {
				return err
			}
			done = append(done, &a)
		}
		if *output == "json" {
			return p.actionDocs(done)
		}
		for i := range faults {
			f, word := &faults[i], "acknowledged"
			if *undo {
				word = "no longer acknowledged"
			}
			fmt.Fprintf(p.stdout, "%s %s%s: %s %s on %s: %s\n", f.ID[:min(shortID, len(f.ID))], word, untilText(act.Until), f.Severity, f.Kind,
				printable(string(f.Target)), printable(f.Message))
		}
		return nil
	}
	return cmd
}

// findFaults finds faults by the beginnings of their IDs.
func (p *program) findFaults(ctx context.Context, dir string, ids []string, undo bool, now time.Time) ([]health.Fault, error) {
	db, err := openStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	actions, err := db.Actions(ctx)
	if err != nil {
		return nil, err
	}
	acks := health.Acks(actions, now)
	var out []health.Fault
	seen := map[string]bool{}
	for _, id := range ids {
		found, err := db.FaultsByID(ctx, id, 2)
		if err != nil {
			return nil, err
		}
		if id == "" || len(found) == 0 {
			return nil, usageError("the store knows no fault %q: `dewline faults` lists them", id)
		}
		if len(found) > 1 && found[0].ID != id {
			return nil, usageError("several faults begin with %q: give more of the ID (`dewline faults -o json` has it whole)", id)
		}
		f := found[0]
		_, acked := acks[f.ID]
		switch {
		case undo && !acked:
			return nil, usageError("fault %s is not acknowledged", id)
		case !undo && f.Closed():
			return nil, usageError("fault %s is over since %s: there is nothing to look after", id, toSecond(formatTime(f.Cleared)))
		case !seen[f.ID]:
			seen[f.ID] = true
			out = append(out, f)
		}
	}
	return out, nil
}
