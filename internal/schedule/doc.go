// Package schedule turns cron specs into due times: pure functions of the spec, the name of what is scheduled and the
// clock, so that every process that reads the same configuration computes the same times, also after a restart.
//
// The syntax is robfig/cron's: five fields, or six with seconds first; descriptors (@hourly, @daily, …); `@every 60s`; a
// zone as prefix (`CRON_TZ=Asia/Jakarta 0 3 * * *`), UTC otherwise. What robfig/cron lets through and a daemon cannot
// live with is refused by Parse: specs that never fire, distances below one second, prefixes that make its parser panic.
//
// # Phases
//
// Ten thousand machines on `@every 60s` must not be read in the same instant. Times are therefore shifted per name:
// `@every d` is aligned to the Unix epoch plus hash(name) mod d, any other spec is shifted by hash(name) mod spread, and
// never to or past the spec's next time. The hash is part of the interface: it never changes.
//
// # Daylight saving
//
// A spec with a fixed hour ("30 2 * * *") is due once each local day: a time that the clock jumps over is due when the
// jump ends, and a time that comes twice is due the first time. A spec whose hour is `*` follows real time, and is due
// in both of the doubled hours. UTC has neither.
package schedule
