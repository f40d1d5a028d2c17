package config_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/portico-fhir/portico/config"
)

// keysOf lists the keys of a struct of the configuration, as a.b.c, lists passed
// through.
func keysOf(t reflect.Type, at string, out map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[config.Secret]() {
		return
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		out[at+name] = true
		keysOf(t.Field(i).Type, at+name+".", out)
	}
}

// written lists those of a document.
func written(v any, at string, out map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, one := range v {
			out[at+name] = true
			written(one, at+name+".", out)
		}
	case []any:
		for _, one := range v {
			written(one, at, out)
		}
	}
}

func TestTheExampleHasEveryKeyThereIs(t *testing.T) {
	raw, err := os.ReadFile("../docs/portico.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	there, shown := map[string]bool{}, map[string]bool{}
	keysOf(reflect.TypeFor[config.Config](), "", there)
	written(doc, "", shown)
	if len(there) < 150 {
		t.Fatalf("only %d keys: the test would see nothing", len(there))
	}
	for key := range there {
		// One store excludes the other, which stands in a comment.
		last := key[strings.LastIndexByte(key, '.')+1:]
		commented := strings.HasPrefix(key, "store.postgres") && strings.Contains(string(raw), "  # "+last+":") || strings.HasPrefix(key, "store.postgres.") && strings.Contains(string(raw), "  #   "+last+":")
		if !shown[key] && !commented {
			t.Errorf("%s is not in the example", key)
		}
	}
	t.Logf("%d keys", len(there))
}
