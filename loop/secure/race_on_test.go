//go:build race

package secure_test

const raceEnabled = true
