package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/portico-fhir/portico/config"
)

const deployDir = "../../deploy"

// documents reads every document of a YAML file; a key given twice is an error.
func documents(t *testing.T, path string) []map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(deployDir, path))
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	d := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict())
	for {
		var one map[string]any
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, one)
	}
}

// at walks down a document: names of maps, numbers of lists.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for i, step := range path {
		switch step := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok || m[step] == nil {
				t.Fatalf("there is no %v", path[:i+1])
			}
			v = m[step]
		case int:
			list, ok := v.([]any)
			if !ok || len(list) <= step {
				t.Fatalf("there is no %v", path[:i+1])
			}
			v = list[step]
		}
	}
	return v
}

func alike(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// checkConfig has portico judge a configuration whose secrets lie in folder.
func checkConfig(t *testing.T, text, folder string) (secrets, redis []string) {
	t.Helper()
	dir := t.TempDir()
	for _, m := range regexp.MustCompile(regexp.QuoteMeta(folder)+`/([a-z_]+)`).FindAllStringSubmatch(text, -1) {
		value := strings.Repeat("secret", 6)
		switch m[1] {
		case "seal_key":
			value = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
		case "postgres_url":
			value = "postgres://portico:x@postgres:5432/portico?sslmode=disable"
		}
		if err := os.WriteFile(filepath.Join(dir, m[1]), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, m[1])
	}
	path := filepath.Join(dir, "portico.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, folder, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadWith(path, checks())
	switch {
	case err != nil:
		t.Errorf("portico refuses it: %v", err)
	case cfg.Store.Postgres == nil || cfg.Redis == nil || cfg.Cache == nil:
		t.Error("two replicas with it would not share all that they can")
	default:
		redis = cfg.Redis.Addresses
	}
	slices.Sort(secrets)
	return slices.Compact(secrets), redis
}

// ending is how long Portico takes to end, at most.
const ending = drainTimeout + 2*sideDrain + closeTimeout

func TestComposeFileFitsItsConfigurationAndSecrets(t *testing.T) {
	docs := documents(t, "docker-compose.yaml")
	if len(docs) != 1 {
		t.Fatalf("%d documents", len(docs))
	}
	raw, err := os.ReadFile(filepath.Join(deployDir, "compose/portico.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wanted, redis := checkConfig(t, string(raw), "/run/secrets")
	for _, a := range redis {
		host, _, _ := strings.Cut(a, ":")
		for _, name := range []string{"portico-1", "portico-2"} {
			alike(t, name+" waits for "+host, at(t, docs[0], "services", name, "depends_on", host, "condition"), "service_healthy")
		}
	}
	all, ok := at(t, docs[0], "secrets").(map[string]any)
	if !ok {
		t.Fatal("no secrets")
	}
	for _, name := range []string{"portico-1", "portico-2"} {
		given := []string{}
		for _, s := range at(t, docs[0], "services", name, "secrets").([]any) { //nolint:errcheck // a wrong type ends the test
			given = append(given, fmt.Sprint(s))
		}
		slices.Sort(given)
		alike(t, name+"'s secrets", given, wanted)
		alike(t, name+" is read-only", at(t, docs[0], "services", name, "read_only"), true)
		alike(t, name+"'s health", at(t, docs[0], "services", name, "healthcheck", "test"), []any{"CMD", "/portico", "ready", "-config", "/etc/portico/portico.yaml"})
	}
	if grace, err := time.ParseDuration(fmt.Sprint(at(t, docs[0], "services", "portico-1", "stop_grace_period"))); err != nil || grace < ending {
		t.Errorf("%s, %v: it takes up to %s to end", grace, err, ending)
	}
	services, ok := at(t, docs[0], "services").(map[string]any)
	if !ok {
		t.Fatal("no services")
	}
	for name, service := range services {
		at(t, service, "image")
		m, _ := service.(map[string]any)
		if m["ports"] != nil && name != "proxy" {
			t.Errorf("%s can be reached from outside", name)
		}
		if list, ok := m["secrets"].([]any); ok {
			for _, s := range list {
				if all[fmt.Sprint(s)] == nil {
					t.Errorf("%s: there is no secret %v", name, s)
				}
			}
		}
		if name != "proxy" {
			at(t, service, "healthcheck", "test")
		}
	}
	alike(t, "the proxy's address is the trusted one", strings.Contains(string(raw), fmt.Sprint(at(t, docs[0], "services", "proxy", "networks", "inside", "ipv4_address"))), true)
	for name, s := range all {
		if file := fmt.Sprint(at(t, s, "file")); file != "./compose/secrets/"+name {
			t.Errorf("secret %s comes from %s", name, file)
		}
	}
}

func TestKubernetesManifestsFitTogether(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deployDir, "kubernetes/*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	kinds := map[string]map[string]any{}
	for _, file := range files {
		for _, doc := range documents(t, "kubernetes/"+filepath.Base(file)) {
			alike(t, file, at(t, doc, "metadata", "name"), "portico")
			at(t, doc, "apiVersion")
			kinds[fmt.Sprint(at(t, doc, "kind"))] = doc
		}
	}
	for _, kind := range []string{"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Secret", "Ingress"} {
		if kinds[kind] == nil {
			t.Fatalf("no %s", kind)
		}
	}
	wanted, redis := checkConfig(t, fmt.Sprint(at(t, kinds["ConfigMap"], "data", "portico.yaml")), "/run/secrets/portico")
	for _, a := range redis {
		_, port, _ := strings.Cut(a, ":")
		alike(t, "Redis may be reached", at(t, kinds["NetworkPolicy"], "spec", "egress", 1, "ports", 1, "port"), port)
	}
	held, ok := at(t, kinds["Secret"], "stringData").(map[string]any)
	if !ok {
		t.Fatal("no data in the Secret")
	}
	for _, name := range wanted {
		if held[name] == nil {
			t.Errorf("the Secret has no %s", name)
		}
	}
	labels := at(t, kinds["Deployment"], "spec", "template", "metadata", "labels")
	for what, got := range map[string]any{
		"Deployment": at(t, kinds["Deployment"], "spec", "selector", "matchLabels"), "Service": at(t, kinds["Service"], "spec", "selector"),
		"PodDisruptionBudget": at(t, kinds["PodDisruptionBudget"], "spec", "selector", "matchLabels"), "NetworkPolicy": at(t, kinds["NetworkPolicy"], "spec", "podSelector", "matchLabels"),
	} {
		alike(t, what+" selects the pods", got, labels)
	}
	pod := at(t, kinds["Deployment"], "spec", "template", "spec")
	alike(t, "replicas", at(t, kinds["Deployment"], "spec", "replicas"), 2)
	alike(t, "user", at(t, pod, "securityContext", "runAsUser"), 65532)
	alike(t, "not root", at(t, pod, "securityContext", "runAsNonRoot"), true)
	container := at(t, pod, "containers", 0)
	alike(t, "read-only", at(t, container, "securityContext", "readOnlyRootFilesystem"), true)
	alike(t, "no more rights", at(t, container, "securityContext", "allowPrivilegeEscalation"), false)
	alike(t, "liveness", at(t, container, "livenessProbe", "httpGet", "path"), "/livez")
	alike(t, "readiness", at(t, container, "readinessProbe", "httpGet", "path"), "/readyz")
	for _, what := range []string{"requests", "limits"} {
		at(t, container, "resources", what, "memory")
	}
	grace, err := strconv.Atoi(fmt.Sprint(at(t, pod, "terminationGracePeriodSeconds")))
	pause, err2 := strconv.Atoi(fmt.Sprint(at(t, container, "lifecycle", "preStop", "sleep", "seconds")))
	if err := errors.Join(err, err2); err != nil || time.Duration(grace-pause)*time.Second < ending {
		t.Errorf("%d s less %d s before, %v: it takes up to %s to end", grace, pause, err, ending)
	}
	if timeout, err := strconv.Atoi(fmt.Sprint(at(t, container, "readinessProbe", "timeoutSeconds"))); err != nil || time.Duration(timeout)*time.Second <= pingTimeout {
		t.Errorf("the probe waits %d s, %v: /readyz may take %s", timeout, err, pingTimeout)
	}
	alike(t, "the ingress takes as much as the proxy", at(t, kinds["Ingress"], "metadata", "annotations", "nginx.ingress.kubernetes.io/proxy-body-size"), fmt.Sprintf("%dm", proxyTakes(t)>>20))
	alike(t, "where the secrets are", at(t, container, "volumeMounts", 1, "mountPath"), "/run/secrets/portico")
	alike(t, "what listens", at(t, container, "ports", 0, "containerPort"), 8080)
	alike(t, "who may reach it", at(t, kinds["NetworkPolicy"], "spec", "ingress", 0, "ports", 0, "port"), 8080)
}

// The image holds one file and the certificates: the file must need nothing.
func TestTheDockerfilesBinaryNeedsNothing(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(deployDir, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	last := text[strings.LastIndex(text, "\nFROM "):]
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", "\nENTRYPOINT [\"/portico\"]\n", "ca-certificates.crt"} {
		if !strings.Contains(last, want) {
			t.Errorf("the image has no %q", want)
		}
	}
	if strings.Contains(last, "\nRUN ") {
		t.Error("there is nothing in the image that could run something")
	}
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
		if strings.ContainsAny(m[1], "/") {
			t.Errorf("the image %s names a registry", m[1])
		}
	}
	command := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /portico (\./cmd/portico)$`).FindStringSubmatch(text)
	if command == nil {
		t.Fatal("no build command")
	}
	if os.Getenv("PORTICO_TEST_SERVICES") != "1" {
		t.Skip("needs make test")
	}
	binary := filepath.Join(t.TempDir(), "portico")
	build := exec.CommandContext(t.Context(), "sh", "-c", command[1]+" -o "+binary+" "+command[2])
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a segment %s", p.Type)
		}
	}
	if libraries, err := f.ImportedLibraries(); err == nil && len(libraries) > 0 {
		t.Errorf("it needs %v", libraries)
	}
	info, err := os.Stat(binary)
	if err != nil || info.Size() > 64<<20 {
		t.Errorf("%v, %v", info, err)
	}
	t.Logf("%.1f MiB", float64(info.Size())/(1<<20))
	if out, err := exec.CommandContext(t.Context(), binary, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "portico ") {
		t.Errorf("%s %v", out, err)
	}
}
