package machine

import (
	"fmt"
	"time"

	"peal/cmd/peal/doctor"
)

// slowSources are clocks that are read through the kernel or a device.
var slowSources = map[string]bool{"hpet": true, "acpi_pm": true, "jiffies": true, "pit": true}

// clock checks the wall clock, by which tokens expire, and how long it takes to read.
func (m *Machine) clock() (all []doctor.Finding) {
	const check = "clock"
	const why = "tokens are valid and expire by this clock (token-leeway is %s), and messages have its time"
	c, err := m.Clock()
	leeway := m.Config.Token.Leeway
	switch {
	case err != nil:
		all = append(all, doctor.Skip(check, "%v", err))
	case !c.Synchronised:
		all = append(all, doctor.Warn(check, "the kernel's clock is not synchronised", fmt.Sprintf(why, leeway), "timedatectl set-ntp true  (or: apt install chrony; inside a container or virtual machine, on its host)"))
	case leeway > 0 && c.Error > leeway:
		all = append(all, doctor.Warn(check, fmt.Sprintf("synchronised, but it may be off by %s", c.Error.Round(time.Millisecond)), fmt.Sprintf(why, leeway), "chronyc tracking  (shows the cause)"))
	default:
		all = append(all, doctor.Fine(check, "synchronised to within %s", c.Error.Round(time.Millisecond)))
	}
	source, err := m.read("sys/devices/system/clocksource/clocksource0/current_clocksource")
	switch {
	case err != nil:
		all = append(all, doctor.Skip("clock-source", "%v", err))
	case slowSources[source]:
		all = append(all, doctor.Warn("clock-source", source, "each reading of this clock takes a microsecond or more, and loops and log read it often", "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource  (if available_clocksource lists it)"))
	default:
		all = append(all, doctor.Fine("clock-source", "%s", source))
	}
	return all
}
