package counts

import (
	"slices"
	"strings"

	"peal/server/hub"
)

// Directory is the channels of all nodes: the history of the hub, which is the same on every node,
// with the subscribers of all of them.
type Directory struct {
	*hub.Hub
	Table *Table
}

// Channel is Hub.Channel with the subscribers of all nodes.
func (d Directory) Channel(name string) (info hub.Info, ok bool) {
	info, ok = d.Hub.Channel(name)
	n, _ := d.Table.Elsewhere(name)
	info.Name = name
	info.Subscribers += n
	return info, ok || n > 0
}

// Channels is Hub.Channels with the channels and the subscribers of all nodes.
func (d Directory) Channels(prefix, after string, limit int) []hub.Info {
	limit = min(limit, hub.MaxInfos)
	if limit <= 0 {
		return nil
	}
	infos := d.Hub.Channels(prefix, after, limit)
	known := map[string]struct{}{}
	for i := range infos {
		known[infos[i].Name] = struct{}{}
		n, _ := d.Table.Elsewhere(infos[i].Name)
		infos[i].Subscribers += n
	}
	for _, name := range d.Table.names(prefix, after, limit) {
		if _, ok := known[name]; ok {
			continue
		}
		if info, ok := d.Channel(name); ok {
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b hub.Info) int { return strings.Compare(a.Name, b.Name) })
	return infos[:min(limit, len(infos))]
}
