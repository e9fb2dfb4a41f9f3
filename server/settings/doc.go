// Package settings is the one source of truth about settings: flags, environment
// variables, the keys of the configuration file, the output of --print-config and
// docs/configuration.md are all generated from its table.
//
//   - Setting: one row: name, purpose, range, and the field of server.Config that
//     it sets. Its default is not here: server.Config.WithDefaults replaces the
//     zero value by it.
//   - Input: the sources of values; flags take precedence over the environment,
//     the environment over the file, the file over the default.
//   - Settings: the result of Load, with the source of each value.
//   - List: a list of mappings, in the file only, whose keys are Settings of their
//     own, as the rules for channels are.
//   - Fault: one mistake. Load reports all of them at once.
//
// All names of a setting follow from the first: history-age is the flag
// --history-age, the variable PEAL_HISTORY_AGE and the key history-age.
//
// The package reads the configuration file and nothing else; it starts nothing.
// Nothing here is shared: any goroutine may call it.
package settings
