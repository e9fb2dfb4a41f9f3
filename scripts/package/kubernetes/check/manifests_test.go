// Package check has only a test: the manifests have no field that Kubernetes does not
// know, and their parts fit together.
package check

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func TestManifests(t *testing.T) {
	b, err := os.ReadFile("../peal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var (
		config  core.ConfigMap
		service core.Service
		set     apps.StatefulSet
		budget  policy.PodDisruptionBudget
		network networking.NetworkPolicy
	)
	kinds := map[string]any{"ConfigMap": &config, "Service": &service, "StatefulSet": &set, "PodDisruptionBudget": &budget, "NetworkPolicy": &network}
	for doc := range bytes.SplitSeq(b, []byte("\n---\n")) {
		var head struct{ Kind string }
		if err := yaml.Unmarshal(doc, &head); err != nil {
			t.Fatal(err)
		}
		into := kinds[head.Kind]
		if into == nil {
			t.Fatalf("kind %q is unknown, or appears twice", head.Kind)
		}
		delete(kinds, head.Kind)
		if err := yaml.UnmarshalStrict(doc, into); err != nil {
			t.Errorf("%s: %v", head.Kind, err)
		}
	}
	if len(kinds) > 0 {
		t.Fatalf("missing: %v", kinds)
	}

	spec := set.Spec.Template.Spec
	if len(spec.Containers) != 1 {
		t.Fatalf("%d containers", len(spec.Containers))
	}
	peal := spec.Containers[0]
	labels := set.Spec.Template.Labels
	for what, selector := range map[string]map[string]string{"service": service.Spec.Selector, "set": set.Spec.Selector.MatchLabels,
		"budget": budget.Spec.Selector.MatchLabels, "network policy": network.Spec.PodSelector.MatchLabels} {
		for k, v := range selector {
			if labels[k] != v {
				t.Errorf("the %s selects %s=%s, the pods have %v", what, k, v, labels)
			}
		}
		if len(selector) == 0 {
			t.Errorf("the %s selects everything", what)
		}
	}
	if *set.Spec.Replicas != 1 || set.Spec.ServiceName != service.Name {
		t.Errorf("%d replicas of service %q", *set.Spec.Replicas, set.Spec.ServiceName)
	}
	if s, c := spec.SecurityContext, peal.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser == 0 || *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || c.Capabilities.Drop[0] != "ALL" {
		t.Error("the container is not restricted")
	}
	var settings struct {
		Drain, Listen, Admin, Log string
	}
	if err := yaml.Unmarshal([]byte(config.Data["peal.yaml"]), &settings); err != nil {
		t.Fatal(err)
	}
	drain, err := time.ParseDuration(settings.Drain)
	if err != nil {
		t.Fatal(err)
	}
	// The server ends a while after the drain: it closes its log.
	if grace, need := time.Duration(*spec.TerminationGracePeriodSeconds)*time.Second, drain+time.Duration(peal.Lifecycle.PreStop.Sleep.Seconds)*time.Second+10*time.Second; grace < need {
		t.Errorf("the pod is killed after %v, preStop and drain need %v", grace, need)
	}
	if settings.Listen != "0.0.0.0:8080" || peal.Ports[0].ContainerPort != 8080 || settings.Admin != "127.0.0.1:8081" {
		t.Errorf("listen %s, port %d, admin %s", settings.Listen, peal.Ports[0].ContainerPort, settings.Admin)
	}
	for what, p := range map[string]*core.Probe{"startup": peal.StartupProbe, "readiness": peal.ReadinessProbe, "liveness": peal.LivenessProbe} {
		if p == nil || p.Exec == nil || p.Exec.Command[0] != "/peal" { // the image has no other program
			t.Errorf("the %s probe runs %v", what, p)
		}
	}
	if !strings.HasSuffix(peal.ReadinessProbe.Exec.Command[3], "/readyz") {
		t.Error("the readiness probe does not fail while the server drains")
	}
	mounts := map[string]string{}
	for _, m := range peal.VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	if dir, ok := strings.CutPrefix(settings.Log, "file:"+mounts["data"]+"/"); !ok || dir == "" || set.Spec.VolumeClaimTemplates[0].Name != "data" {
		t.Errorf("the log %s is not in the volume at %s", settings.Log, mounts["data"])
	}
}
