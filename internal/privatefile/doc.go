// Package privatefile writes small files that hold what nobody else may read, such as the token of a session, so that a crash
// leaves the old file or the new one.
package privatefile
