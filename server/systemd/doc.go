// Package systemd is what the service manager and the server tell each other.
//
//   - Sockets: the listeners that systemd opened and passed (sd_listen_fds(3)).
//   - Notifier: the socket to which the server reports that it is ready, reloads or
//     ends (sd_notify(3)).
//   - Watch: reports at intervals that a check succeeds (sd_watchdog_enabled(3)).
//
// Outside systemd its variables are absent, and every function does nothing. The
// functions that read variables also remove them, so that a child process does not
// mistake them for its own: call each once, at the start. Notifier may be used by any
// goroutine; no function is for an event loop, because a send may wait for a second.
package systemd
