package scenario

import (
	"slices"
	"strings"
	"syscall"

	"peal/loadtest"
	"peal/loadtest/child"
)

// place gives each server that is to be started its ports, and puts them where
// {port} and {admin} stand: in its command, its target, where to publish to it
// and where its metrics are.
func (e *experiment) place() error {
	s := &e.s
	if len(s.Start) == 1 && strings.Contains(s.Start[0], "{port}") && len(s.Targets) == 1 && s.Targets[0] == loadtest.DefaultTarget {
		s.Targets = []string{"ws://127.0.0.1:{port}/ws?channel=bench"}
	}
	for _, list := range []*[]string{&s.Start, &s.Targets, &s.Publish, &s.Admin} {
		*list = slices.Clone(*list)
	}
	for i, command := range s.Start {
		ports, err := child.FreePorts()
		if err != nil {
			return err
		}
		one := e.name == "restart" && s.Upgrade // server, of all targets
		for _, list := range [][]string{s.Start, s.Targets, s.Publish, s.Admin} {
			for j := range list {
				if j == i || one {
					list[j] = ports.Replace(list[j])
				}
			}
		}
		server := &child.Program{Name: s.Start[i], Args: []string{"/bin/sh", "-c", "exec " + s.Start[i]}, Passes: one}
		if strings.Contains(command, "{admin}") {
			server.Addrs = []string{child.Loopback(ports.Admin)}
		}
		e.servers = append(e.servers, server)
	}
	return nil
}

// startServers starts the commands of Settings.Start and returns when each accepts
// connections. stopServers ends them, also those that did not start.
func (e *experiment) startServers() error {
	for i, server := range e.servers {
		e.say("starting %s", server.Name)
		server.Addrs = append(server.Addrs, e.targets[i].Addr)
		if err := server.Start(e.soft); err != nil {
			return err
		}
	}
	return nil
}

func (e *experiment) stopServers() {
	for _, server := range e.servers {
		_, _ = server.Stop(syscall.SIGTERM) // the report is made; how they end changes nothing
	}
}
