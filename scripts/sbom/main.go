// Command sbom prints the software bill of materials of a Go binary, as SPDX
// 2.3 JSON: the program, the Go standard library and every linked module, as
// recorded in the binary (go version -m).
//
//	go run ./scripts/sbom dist/peal-linux-amd64
//
// The same binary gives the same bytes: its time is SOURCE_DATE_EPOCH, or else that of
// the commit, or else 1970.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY [VERSION]")
		os.Exit(2)
	}
	version := "development"
	if len(os.Args) == 3 {
		version = os.Args[2]
	}
	if err := write(os.Stdout, os.Args[1], version, os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// The fields of SPDX 2.3 that are used, clause by clause of the standard.
type (
	document struct { // clause 6
		SPDXVersion   string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Describes     []string       `json:"documentDescribes"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct { // clause 7
		Name             string      `json:"name"`
		ID               string      `json:"SPDXID"`
		Version          string      `json:"versionInfo"`
		FileName         string      `json:"packageFileName,omitempty"`
		DownloadLocation string      `json:"downloadLocation"`
		FilesAnalyzed    bool        `json:"filesAnalyzed"`
		Checksums        []checksum  `json:"checksums,omitempty"`
		SourceInfo       string      `json:"sourceInfo,omitempty"`
		Concluded        string      `json:"licenseConcluded"`
		Declared         string      `json:"licenseDeclared"`
		Copyright        string      `json:"copyrightText"`
		References       []reference `json:"externalRefs,omitempty"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct { // clause 11
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const unknown = "NOASSERTION"

// write prints the bill of the binary at path, released as version; epoch is
// SOURCE_DATE_EPOCH, seconds since 1970, or empty.
func write(w io.Writer, path, version, epoch string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read build information: %w", err)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at, err := moment(info, epoch)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(binary)
	digest := hex.EncodeToString(sum[:])
	name := filepath.Base(path)

	program := spdxPackage{
		Name: info.Main.Path, ID: "SPDXRef-Program", Version: version, FileName: name,
		DownloadLocation: unknown, Concluded: "Apache-2.0", Declared: "Apache-2.0", Copyright: unknown,
		Checksums: []checksum{{"SHA256", digest}},
	}
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: name + " " + version,
		Namespace: "urn:sha256:" + digest + ":sbom", // must differ for each document (clause 6.5); needs no site
		Creation:  creation{at.UTC().Format(time.RFC3339), []string{"Tool: peal-scripts-sbom"}},
		Describes: []string{program.ID},
		Packages:  []spdxPackage{program},
	}
	d.Relationships = append(d.Relationships, relationship{d.ID, "DESCRIBES", program.ID})
	add := func(p spdxPackage) {
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, relationship{program.ID, "DEPENDS_ON", p.ID})
	}
	std := module("std", strings.TrimPrefix(info.GoVersion, "go"), "", unknown)
	std.Concluded, std.Declared = "BSD-3-Clause", "BSD-3-Clause"
	add(std)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add(module(m.Path, m.Version, m.Sum, unknown)) // the purl identifies the module; the builder chooses where to download it
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(d)
}

func moment(info *debug.BuildInfo, epoch string) (time.Time, error) {
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: must be seconds since 1970", epoch)
		}
		return time.Unix(seconds, 0), nil
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			return time.Parse(time.RFC3339, s.Value)
		}
	}
	return time.Unix(0, 0), nil
}

var notID = regexp.MustCompile(`[^A-Za-z0-9.-]+`) // clause 7.2: letters, digits, "." and "-"

func module(path, version, sum, from string) spdxPackage {
	p := spdxPackage{
		Name: path, ID: "SPDXRef-" + notID.ReplaceAllString(path+"-"+version, "-"), Version: version,
		DownloadLocation: from, Concluded: unknown, Declared: unknown, Copyright: unknown,
		References: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + strings.ToLower(path) + "@" + version}},
	}
	if sum != "" { // a hash of the module's tree, not of a file: no SPDX checksum
		p.SourceInfo = "go.sum: " + sum
	}
	return p
}
