// Command field-manager runs series of writes through Kubernetes' own field manager, the library
// behind server-side apply, and prints what became of the objects. One series a line, as JSON.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

type write struct {
	Operation, Manager, Subresource string
	Force                           bool
	Object                          json.RawMessage
}

type series struct {
	Kind   schema.GroupVersionKind
	Writes []write
}

type outcome struct {
	Error  string         `json:"error,omitempty"`
	Object runtime.Object `json:"object,omitempty"`
}

var types = applyconfigurations.NewTypeConverter(scheme.Scheme)

func managerOf(kind schema.GroupVersionKind, subresource string) (*managedfields.FieldManager, error) {
	reset := "status"
	if subresource == "status" {
		reset = "spec"
	}
	filters := map[fieldpath.APIVersion]fieldpath.Filter{
		fieldpath.APIVersion(kind.GroupVersion().String()): fieldpath.NewExcludeSetFilter(
			fieldpath.NewSet(fieldpath.MakePathOrDie(reset))),
	}
	objects := runtime.UnsafeObjectConvertor(scheme.Scheme)
	return managedfields.NewDefaultFieldManager(types, objects, scheme.Scheme, scheme.Scheme,
		kind, kind.GroupVersion(), subresource, filters)
}

func do(kind schema.GroupVersionKind, live runtime.Object, w write) (runtime.Object, error) {
	manager, err := managerOf(kind, w.Subresource)
	if err != nil {
		return nil, err
	}
	if w.Operation == "Apply" {
		config := &unstructured.Unstructured{}
		if err := config.UnmarshalJSON(w.Object); err != nil {
			return nil, err
		}
		return manager.Apply(live.DeepCopyObject(), config, w.Manager, w.Force)
	}
	next, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(w.Object, next); err != nil {
		return nil, err
	}
	next.GetObjectKind().SetGroupVersionKind(kind)
	before, _ := meta.Accessor(live)
	after, _ := meta.Accessor(next)
	after.SetUID(before.GetUID())
	return manager.Update(live.DeepCopyObject(), next, w.Manager)
}

// shown is the object without the times of its managers.
func shown(object runtime.Object) runtime.Object {
	result := object.DeepCopyObject()
	accessor, _ := meta.Accessor(result)
	var entries []metav1.ManagedFieldsEntry
	for _, entry := range accessor.GetManagedFields() {
		entry.Time = nil
		entries = append(entries, entry)
	}
	accessor.SetManagedFields(entries)
	return result
}

func run(s series) ([]outcome, error) {
	live, err := scheme.Scheme.New(s.Kind)
	if err != nil {
		return nil, err
	}
	live.GetObjectKind().SetGroupVersionKind(s.Kind)
	var outcomes []outcome
	for _, w := range s.Writes {
		next, err := do(s.Kind, live, w)
		if err != nil {
			outcomes = append(outcomes, outcome{Error: err.Error()})
			continue
		}
		accessor, _ := meta.Accessor(next)
		accessor.SetUID("uid")
		live = next
		outcomes = append(outcomes, outcome{Object: shown(next)})
	}
	return outcomes, nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var s series
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			log.Fatal(err)
		}
		outcomes, err := run(s)
		if err != nil {
			log.Fatal(err)
		}
		text, err := json.Marshal(outcomes)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(text))
	}
}
