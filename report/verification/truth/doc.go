// Package truth tests the verification report against incidents of which it is known what happened. It holds tests alone.
//
// A world is simulated servers (internal/bmcsim) with simulated BMCs. Its history is played in compressed time: the real drivers read
// the BMCs, the collector's own function makes each visit, a real store records it, and the real builder makes the report. The truth
// is kept apart, in a ledger of what each BMC showed at each due time, and judged by rules of its own (rules_test.go) that share
// nothing with the code under test: it sees neither the store nor the report's inputs.
//
// DEWLINE_INCIDENTS is how many incidents are drawn (50; 1,000 with DEWLINE_LONG=1), DEWLINE_SEED repeats a run.
package truth
