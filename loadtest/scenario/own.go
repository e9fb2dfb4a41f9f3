package scenario

import (
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// own is what the generator has used so far, and what the others on its machine
// have.
type own struct {
	processes []report.Process // this one first
	resident  uint64           // of the workers
	machine   loadtest.Machine
	server    time.Duration // of the server's processes on this machine
	known     bool          // all of them are
}

// usage reads what the generator uses. A kernel that does not count waiting leaves it
// zero.
func (s *session) usage() (o own, err error) {
	workers, err := s.pool.Usage(s.ctx)
	if err != nil {
		return o, err
	}
	this, err := loadtest.ReadUsage()
	if err != nil {
		return o, err
	}
	for _, u := range append([]loadtest.Usage{*this}, workers...) {
		o.processes = append(o.processes, report.Process{PID: u.PID, Agent: u.Agent, CPU: u.CPU.Seconds(), Wait: u.Wait.Seconds()})
	}
	for _, u := range workers {
		o.resident += u.Resident
	}
	o.known = len(s.pool.Clocks()) == 0
	for i := range s.targets {
		if i > 0 && s.lineage != nil { // it is the same server
			break
		}
		pid := at(s.s.PID, i)
		used := time.Duration(0)
		if s.lineage != nil {
			pid, used = s.lineage.process(pid)
		}
		if server := at(s.servers, i); server != nil {
			pid, used = server.Usage()
		}
		if tree, err := loadtest.TreeCPUTime(pid); pid != 0 && err == nil {
			o.server += used + tree
		} else if s.targets[i].Local() {
			o.known = false
		}
	}
	o.machine, err = loadtest.ReadMachine()
	return o, err
}

// since is what was used after an earlier reading.
func (o own) since(earlier own) own {
	d := own{machine: loadtest.Machine{Busy: o.machine.Busy - earlier.machine.Busy, Steal: o.machine.Steal - earlier.machine.Steal},
		server: o.server - earlier.server, known: o.known && earlier.known, resident: o.resident}
	for i, p := range o.processes {
		// Threads that ended took their waiting with them.
		d.processes = append(d.processes, report.Process{PID: p.PID, Agent: p.Agent, CPU: p.CPU - earlier.processes[i].CPU, Wait: max(p.Wait-earlier.processes[i].Wait, 0)})
	}
	return d
}

// sums are those of the processes, in seconds.
func (o own) sums() (cpu, wait float64) {
	for _, p := range o.processes {
		cpu, wait = cpu+p.CPU, wait+p.Wait
	}
	return cpu, wait
}

// here is the CPU time of the processes on this machine.
func (o own) here() (cpu float64) {
	for _, p := range o.processes {
		if p.Agent == "" {
			cpu += p.CPU
		}
	}
	return cpu
}

// generator is what the report says of it.
func (s *session) generator(used own) (g report.Generator) {
	g = report.Generator{Processes: len(used.processes), Each: used.processes}
	g.CPU, g.Wait = used.sums()
	if n := s.report.Connections.Opened; n > 0 {
		per := float64(used.resident) / float64(n)
		g.PerConnection = &per
	}
	for _, c := range s.pool.Clocks() {
		g.Clocks = append(g.Clocks, report.Clock{Agent: c.Agent, Uncertainty: c.Uncertainty.Seconds() * 1e3, Drift: c.Drift * 1e6})
	}
	return g
}

// unknownOthers is the part of the generator's waiting that counts where the server's
// processes are not known, or agents' machines not: what others use may be the server's.
const unknownOthers = 0.2

// others is what programs used that are neither the server nor the generator, and the
// part that they and the host had in the use of the processors: what keeps the
// generator waiting, other than its turns with the server.
func (o own) others() (seconds, part float64) {
	cpu := o.here()
	busy, steal := o.machine.Busy, o.machine.Steal
	seconds = max(busy-cpu-o.server.Seconds(), 0)
	switch {
	case !o.known:
		return seconds, unknownOthers
	case busy+steal <= 0:
		return seconds, 0
	}
	return seconds, min((seconds+steal)/(busy+steal), 1)
}
