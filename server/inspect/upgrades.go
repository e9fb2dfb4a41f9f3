package inspect

// Upgrades are those of a server since the start of its first process.
type Upgrades struct {
	Began     int64    `json:"began_ms"` // the first process, since 1970
	Completed uint64   `json:"completed"`
	Failed    uint64   `json:"failed"`         // after which the running process went on
	Last      *Upgrade `json:"last,omitempty"` // by which this process serves; none for the first one
}

// Upgrade is one of them, as the new process has seen it.
type Upgrade struct {
	At            int64   `json:"at_ms"`
	ProcessBefore int     `json:"process_before"`
	VersionBefore string  `json:"version_before"`
	Pause         float64 `json:"pause_ms"`
	Connections   int     `json:"connections"` // handed over
	Stayed        int     `json:"stayed"`
}
