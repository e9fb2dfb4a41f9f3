// Package settings is the one source of truth about what an operator can set:
// flags, environment variables, the keys of the configuration file, what
// --print-config says and docs/configuration.md are all made from its table.
//
//   - Setting: one row: name, what it is for, its range, and the field of
//     server.Config it sets. Its default is not here: it is what
//     server.Config.WithDefaults makes of the zero value.
//   - Input: the places a value can come from; flags win over the environment,
//     the environment over the file, the file over the default.
//   - Settings: what Load made of them, and where each value came from.
//   - the rules for channels: a list of mappings, in the file only, whose keys
//     are Settings of their own.
//   - Fault: one mistake. Load reports all of them at once.
//
// What the names of a setting are follows from the first: history-age is the
// flag --history-age, the variable PEAL_HISTORY_AGE and the key history-age.
//
// The package reads the configuration file and nothing else; it starts nothing.
// Nothing here is shared: any goroutine may call it.
package settings
