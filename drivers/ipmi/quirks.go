package ipmi

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/bougou/go-ipmi/pkg/types"

	"dewline/health"
	"dewline/internal/quirk"
)

const freeIPMI = "https://www.gnu.org/software/freeipmi/freeipmi-bugs-issues-and-workarounds.txt"

// Quirks is the driver's table. Its rows record what is done for every BMC: none of these faults can be told beforehand by
// who made the BMC, and all can be met without harm to the others. Effects are for rows of a configuration.
func Quirks() quirk.Table { return slices.Clone(quirks) }

var quirks = quirk.Table{
	{
		Name:   "sdr-read-limit",
		What:   "a whole record is refused (CAh, also C7h, C8h, C9h, CEh): read in parts whose size is halved until it fits, and kept",
		Source: freeIPMI,
	},
	{
		Name:   "sdr-whole-read-fails",
		What:   "reading a whole record gives FFh, unspecified error: as with a refused size",
		Source: freeIPMI,
	},
	{
		Name:   "sdr-whole-read-short",
		What:   "a whole read gives fewer bytes than the record has (Xyratex HB-F8-SRAY): the rest is read in parts",
		Source: freeIPMI + " (SDR issue 5)",
	},
	{
		Name:   "sdr-record-claims-more",
		What:   "a record says that it is longer than it is (HP DL585 G7): taken at its true length if all its type needs is there",
		Source: freeIPMI + " (SDR issue 3)",
	},
	{
		Name:   "sdr-count-wrong",
		What:   "the count of records is not theirs (Fujitsu RX100, RX300 S8): the chain of records counts",
		Source: freeIPMI + " (SDR issue 1)",
	},
	{
		Name:   "sdr-no-end",
		What:   "no record is marked as the last (an Inspur board): with all that are counted read, the chain may go on as it likes",
		Source: freeIPMI + " (SDR issue 4)",
	},
	{
		Name:   "sdr-last-refused",
		What:   "the last record always gives C3h (Dell FC830): a gap, and the repository is whole without it",
		Source: "https://github.com/chu11/freeipmi-mirror/issues/29",
	},
	{
		Name:   "sdr-other-id",
		What:   "a record bears another ID than it was asked for by (Supermicro X6DHR): the chain's IDs are used",
		Source: freeIPMI + " (SDR issue 2)",
	},
	{
		Name:   "sdr-commands-missing",
		What:   "no Get SDR Repository Info, no Reserve (Artesyn ATCA-7367): records are read all the same",
		Source: freeIPMI + " (SDR issues 6 and 7)",
	},
	{
		Name:   "wrong-checksums",
		What:   "messages with wrong checksums (Supermicro X9): the AuthCode is what counts",
		Source: freeIPMI + " (LAN session issue 7)",
	},
	{
		Name:   "sessionless-format",
		What:   "some answer requests outside a session in one of the two formats only: that of IPMI 1.5 is used, which all know",
		Source: "https://github.com/gebn/bmc_exporter/issues/29",
	},
	{
		Name:   "rakp2-length",
		What:   "RAKP 2 with bytes behind its code (Sun ILOM, old Supermicro): the first ones count, and must be right",
		Source: freeIPMI + " (LAN authentication issue 12)",
	},
	{
		Name:   "highest-privilege",
		What:   "\"highest level\" in Open Session is taken literally, or keys are made with it (Supermicro X8, Intel S5500): the level itself is asked for",
		Source: freeIPMI + " (LAN authentication issues 6 and 13)",
	},
	{
		Name:   "suite-no-resources",
		What:   "\"insufficient resources\" instead of \"no such cipher suite\": the next suite is tried before the BMC counts as full",
		Source: "https://github.com/gebn/bmc_exporter/issues/29",
	},
	{
		Name:   "two-sessions",
		What:   "two sessions are all some have: one is kept over visits, closed on exit, and one that was lost is closed before the next is opened",
		Source: freeIPMI,
	},
	{
		Name:   "late-answers",
		What:   "an answer to an earlier request arrives as if to the next (retries within a session): an answer must bear the number and the command of its request",
		Source: "https://github.com/gebn/bmc_exporter/issues/29",
	},
	{
		Name:   "sel-ends-early",
		What:   "FFFFh as the next ID in mid-log (Huawei TaiShan 200): where the log counts more than came, the rest is read from its last entry back",
		Source: "https://github.com/bougou/go-ipmi (GetSELEntries)",
	},
	{
		Name:   "sel-repeats",
		What:   "one record under two IDs (Supermicro H8QME; OpenBMC's ring after an overflow): taken once",
		Source: "https://github.com/facebook/openbmc/issues/273",
	},
	{
		Name:   "sel-record-types",
		What:   "entries of no known type (HP DL380 G5, Intel S2600JF): kept as they are, raw",
		Source: freeIPMI + " (SEL issue 5)",
	},
	{
		Name:   "sel-reserve-refused",
		What:   "Reserve SEL wants an operator (Supermicro H8QME): not used; whole entries need no reservation",
		Source: freeIPMI + " (SEL issue 3)",
	},
	{
		Name:   "pulled-supply-is-silent",
		What:   "a pulled supply is a sensor without a reading (Supermicro): the part stays, its state unknown",
		Source: "https://github.com/thomas-krenn/check_ipmi_sensor_v3/issues/66",
	},
}

// smallChunk is how many bytes are asked for at once where a row says so: what the oldest BMCs give.
const smallChunk = 16

// device is who a BMC says it is.
type device struct {
	Vendors  []string `json:"vendors,omitempty"`
	Product  string   `json:"product,omitempty"`
	Firmware string   `json:"firmware,omitempty"`
}

// deviceOf takes the answer to Get Device ID apart, for the quirks.
func deviceOf(b []byte) *device {
	maker := uint32(b[6]) | uint32(b[7])<<8 | uint32(b[8]&0x0f)<<16
	d := &device{
		Vendors: []string{strconv.FormatUint(uint64(maker), 10)}, Product: fmt.Sprintf("0x%04x", binary.LittleEndian.Uint16(b[9:])),
		Firmware: fmt.Sprintf("%d.%02x", b[2]&0x7f, b[3]),
	}
	if s := types.OEM(maker).String(); maker != 0 && maker != 0xfffff && s != "" {
		d.Vendors = append(d.Vendors, s)
	}
	return d
}

func (d *device) machine() *quirk.Machine {
	if d == nil {
		return &quirk.Machine{}
	}
	return &quirk.Machine{Vendors: d.Vendors, Products: []string{d.Product}, Firmware: []string{d.Firmware}}
}

// quirk reports whether an effect is on for this BMC.
func (v *visit) quirk(e quirk.Effect) bool {
	return len(v.rows) > 0 && v.rows.Has(e, v.mem.Device.machine())
}

// knowDevice asks who the BMC is, once, if some row depends on it.
func (v *visit) knowDevice(ctx context.Context) error {
	asks := func(q quirk.Quirk) bool {
		return !q.Always() && (q.Vendor != nil || q.Product != nil || q.Firmware.String() != "")
	}
	if v.mem.Device != nil || !slices.ContainsFunc(v.rows, asks) {
		return nil
	}
	b, err := v.c.call(ctx, command{op: "get device ID", netFn: netFnApp, cmd: 0x01, want: 11})
	if err != nil {
		v.gap(health.Gap{Part: "device ID", Reason: health.ReasonFor(err), Error: clip(err.Error())})
		return err
	}
	v.mem.Device = deviceOf(b)
	return nil
}
