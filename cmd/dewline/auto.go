package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"dewline/collector"
	"dewline/health"
)

// autoSource is driver "auto": it asks Redfish, then IPMI, and stays with the one that answered. A failed poll never
// changes the choice; a new BMC firmware does, since an update can bring Redfish.
type autoSource struct {
	open     func(driver string) (collector.Source, error)
	log      *slog.Logger
	source   collector.Source // nil: nothing chosen
	driver   string
	firmware string
}

// newAuto makes the source of a target with driver auto. Chosen and firmware are what the store knows: the driver that
// answered before, and the firmware of the BMC then; "" for nothing yet.
func newAuto(chosen, firmware string, log *slog.Logger, open func(string) (collector.Source, error)) (*autoSource, error) {
	a := &autoSource{open: open, log: log, firmware: firmware}
	if chosen == "" || chosen == health.DriverAuto {
		return a, nil
	}
	s, err := open(chosen)
	if err != nil {
		return nil, err
	}
	a.source, a.driver = s, chosen
	return a, nil
}

func (a *autoSource) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	if a.source == nil {
		return a.choose(ctx, req)
	}
	snap, err := a.source.Read(ctx, req)
	if err == nil && snap.Identity != nil && snap.Identity.BMCFirmware != "" {
		fw := snap.Identity.BMCFirmware
		if a.firmware != "" && a.firmware != fw && a.driver == health.DriverIPMI {
			// The snapshot stands; only the next visit asks Redfish again.
			a.log.Info("BMC firmware changed: driver is chosen anew", "from", a.firmware, "to", fw)
			err := a.source.Close(ctx)
			a.source, a.driver = nil, ""
			a.firmware = fw
			if err != nil {
				a.log.Debug("log out before choosing anew", "err", err)
			}
			return snap, nil
		}
		a.firmware = fw
	}
	return snap, err
}

// spoken tells whether an error shows that the BMC speaks the protocol all the same: then the other one is not tried.
// A wrong password in particular must be one attempt, not one for each protocol: accounts lock. A certificate that does
// not verify is the operator's to settle, not a reason to fall back to the weaker protocol.
func spoken(err error) bool {
	return slices.Contains([]health.Reason{
		health.ReasonDenied, health.ReasonTLS, health.ReasonBusy, health.ReasonBudget, health.ReasonStopped,
	}, health.ReasonFor(err))
}

func (a *autoSource) choose(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	var errs []error
	var cost health.Cost
	for _, driver := range []string{health.DriverRedfish, health.DriverIPMI} {
		s, err := a.open(driver)
		if err != nil {
			return &health.Snapshot{Cost: cost}, err
		}
		attempt := req
		attempt.Memory, attempt.Cursors = nil, nil // learned by another protocol, if by any
		snap, err := s.Read(ctx, attempt)
		cost = cost.Add(snap.Cost)
		snap.Cost = cost
		if err == nil {
			a.source, a.driver = s, driver
			if snap.Identity != nil {
				a.firmware = snap.Identity.BMCFirmware
			}
			return snap, nil
		}
		if ctx.Err() != nil || spoken(err) {
			if closeErr := s.Close(context.WithoutCancel(ctx)); closeErr != nil {
				a.log.Debug("log out after a failed first read", "driver", driver, "err", closeErr)
			}
			return snap, err
		}
		if closeErr := s.Close(ctx); closeErr != nil {
			a.log.Debug("log out after a failed first read", "driver", driver, "err", closeErr)
		}
		errs = append(errs, fmt.Errorf("%s: %w", driver, err))
	}
	return &health.Snapshot{Cost: cost}, &health.Error{
		Reason: health.ReasonFor(errs[len(errs)-1]), Op: "choose a driver", Err: errors.Join(errs...),
	}
}

func (a *autoSource) Close(ctx context.Context) error {
	if a.source == nil {
		return nil
	}
	return a.source.Close(ctx)
}
