package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// The test binary is a Go binary like any other.
func TestBillOfThisBinary(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := write(&first, path, "v1.2.3", "86400"); err != nil {
		t.Fatal(err)
	}
	if err := write(&second, path, "v1.2.3", "86400"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two runs differ")
	}
	var d document
	if err := json.Unmarshal(first.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Creation.Created != "1970-01-02T00:00:00Z" || d.Packages[0].Version != "v1.2.3" {
		t.Errorf("created %s, version %s", d.Creation.Created, d.Packages[0].Version)
	}
	ids := map[string]bool{d.ID: true}
	for _, p := range d.Packages {
		if ids[p.ID] || notID.MatchString(p.ID) {
			t.Errorf("identifier %q is twice there, or not one", p.ID)
		}
		ids[p.ID] = true
	}
	if !ids["SPDXRef-Program"] || d.Packages[1].Name != "std" {
		t.Error("the program or the standard library is missing")
	}
	for _, r := range d.Relationships {
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("%v relates what is not there", r)
		}
	}
	if err := write(&first, path, "v1", "yesterday"); err == nil {
		t.Error("SOURCE_DATE_EPOCH=yesterday is accepted")
	}
	if err := write(&first, "main_test.go", "v1", ""); err == nil {
		t.Error("a source file is taken for a binary")
	}
}
