// Package coverage holds no code of its own: its tests compare what the Redfish driver reports of a recorded machine with
// what an independent walker finds in the recording.
//
// The walker knows nothing of the driver. It reads every document of a capture by brute force, keeps those that some link
// reaches from the service root, and decides from resource types and structure which physical parts there are. Each of
// its rules names the machine that taught it. The captures are named by the environment variable DEWLINE_CAPTURES (a
// folder of .tar.gz files); a plain clone runs the walker's own tests on small trees.
package coverage
