package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"peal/bench"
	"peal/bench/gate"
)

// baselineFile is where the repository keeps the figures of --baseline.
const baselineFile = "bench/baseline.json"

// builds builds base and head, or only head.
func (c *contest) builds(ctx context.Context, checkout *gate.Checkout) error {
	headTree, err := c.headTree(ctx, checkout)
	if err != nil {
		return err
	}
	baseTree := ""
	if c.base != "" {
		if baseTree, err = c.baseTree(ctx, checkout); err != nil {
			return err
		}
	}
	if err := c.readConfig(baseTree, headTree); err != nil {
		return err
	}
	if c.base != "" {
		if err := c.compare(ctx, checkout, baseTree, headTree); err != nil {
			return err
		}
	}
	overlay := ""
	if c.plant != "" {
		if overlay, err = gate.Overlay(headTree, checkout.Dir, c.plant); err != nil {
			return usage(err)
		}
		c.result.Head.Name += " with planted " + c.plant
	}
	build := func(name, tree, overlay string, b *gate.Build) (*bench.Command, error) {
		c.say("building %s, %s", name, b.Name)
		binary, sum, err := checkout.Build(ctx, tree, name, overlay)
		server := bench.Peal(binary, "--admin", "127.0.0.1:{admin}")
		server.Label, b.SHA256 = name, sum
		return server, err
	}
	if c.base != "" {
		if c.baseServer, err = build("base", baseTree, "", &c.result.Base); err != nil {
			return err
		}
	}
	if c.headServer, err = build("head", headTree, overlay, &c.result.Head); err != nil {
		return err
	}
	if why := bench.WhyNoSyscalls(); why != "" {
		c.note("System calls were not counted: %s.", why)
	}
	if c.result.Head.SHA256 == c.result.Base.SHA256 {
		c.note("Both binaries are identical: this is an A/A run.")
	}
	return nil
}

// headTree returns the folder of head's source: the working tree, unless --head names a
// commit.
func (c *contest) headTree(ctx context.Context, checkout *gate.Checkout) (dir string, err error) {
	b := &c.result.Head
	if c.head == "" {
		b.Name = "working tree"
		if b.Commit, err = checkout.Commit(ctx, "HEAD"); err == nil {
			b.Changed, err = checkout.Changed(ctx)
		}
		return checkout.Root, err
	}
	b.Name = c.head
	if b.Commit, err = checkout.Commit(ctx, b.Name); err != nil {
		return "", noCommit("--head", err)
	}
	here, err := checkout.Commit(ctx, "HEAD")
	if err != nil {
		return "", err
	}
	if here != b.Commit {
		c.note("The benchmarks are those of this peal-gate, not of %s: check that commit out to use its own.", b.Name)
	}
	return checkout.Tree(ctx, "head", b.Commit)
}

// baseTree returns the folder of base's source.
func (c *contest) baseTree(ctx context.Context, checkout *gate.Checkout) (dir string, err error) {
	b := &c.result.Base
	b.Name = c.base
	if b.Commit, err = checkout.Commit(ctx, b.Name); err != nil {
		return "", noCommit("--base", err)
	}
	return checkout.Tree(ctx, "base", b.Commit)
}

// compare compares what base and head have, besides their limits: kept figures,
// benchmarks, and the code that measures and judges, which is head's.
func (c *contest) compare(ctx context.Context, checkout *gate.Checkout, baseTree, headTree string) error {
	was, err := gate.ReadResult(filepath.Join(baseTree, baselineFile))
	if err == nil {
		is, err := gate.ReadResult(filepath.Join(headTree, baselineFile))
		if err != nil {
			is = &gate.Result{} // all of its figures are gone
		}
		c.result.Rewritten = gate.Rewritten(c.result.Config, was, is)
	}
	names, err := checkout.Benchmarks(ctx, baseTree)
	if err != nil {
		c.note("The benchmarks of base are not known, so one that vanished is not noticed: %v", err)
	}
	selected := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !c.selects(name) })
	if err == nil && len(selected) == 0 {
		return usagef("--base %s: none of its %d benchmarks is selected (--only, --set)", c.base, len(names))
	}
	c.result.Expect(selected, was, c.macros)
	files, err := checkout.Differ(ctx, c.result.Base.Commit, c.head, "bench/*.go", "cmd/peal-gate/*.go", ":!*_test.go")
	if len(files) > 0 {
		c.note("Head changes what measures and judges: %s.", strings.Join(files, ", "))
	}
	return err
}

func noCommit(flag string, err error) error {
	if errors.Is(err, gate.ErrNoCommit) {
		return usagef("%s %w", flag, err)
	}
	return err
}

// readConfig reads head's configuration, and makes it as strict as base's or the
// baseline's.
func (c *contest) readConfig(baseTree, headTree string) error {
	name := c.config
	if !filepath.IsAbs(name) {
		name = filepath.Join(headTree, name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return usage(fmt.Errorf("--config: %w", err))
	}
	config, err := gate.ParseConfig(bytes.TrimSpace(b))
	if err != nil {
		return usage(fmt.Errorf("%s: %w", name, err))
	}
	var was *gate.Config
	if c.kept != nil {
		was = c.kept.Config
	}
	if old, err := os.ReadFile(filepath.Join(baseTree, c.config)); c.base != "" && err == nil && !filepath.IsAbs(c.config) {
		if was, err = gate.ParseConfig(old); err != nil {
			c.note("%s of base is not valid and was not compared: %v", c.config, err)
			was = nil
		}
	}
	if was != nil {
		c.result.Changes = gate.Changes(was, config)
	}
	if !config.Use(c.set) {
		return usagef("--set %q: %s has no such set", c.set, name)
	}
	if was != nil && !c.result.Allows("gate.yaml") {
		config.Tighten(was, c.set)
	}
	c.result.Config = config
	return nil
}
