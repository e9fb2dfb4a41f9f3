package admin

// MostWatchers is how many may watch at a time.
const MostWatchers = mostWatchers
