// Command client-go uses Kubernetes' own client library the way operators do and prints one line
// of JSON for each thing it tried: {"name": ..., "problem": ...}.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/remotecommand"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/streaming/pkg/httpstream"
)

const namespace = "client-go"

type world struct {
	config *rest.Config
	client kubernetes.Interface
	image  string
}

type check struct {
	name string
	run  func(context.Context, world) error
}

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		fail(err)
	}
	config.QPS, config.Burst = 500, 500
	w := world{config: config, client: kubernetes.NewForConfigOrDie(config), image: os.Getenv("IMAGE")}
	ctx := context.Background()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := w.client.CoreV1().Namespaces().Create(ctx, space, metav1.CreateOptions{}); err != nil {
		fail(err)
	}
	for _, one := range checks {
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		line := map[string]string{"name": one.name}
		if err := one.run(limited, w); err != nil {
			line["problem"] = err.Error()
		}
		cancel()
		text, _ := json.Marshal(line)
		fmt.Println(string(text))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

var checks = []check{
	{"shared informer and lister follow changes, by a watch that lists", sharedInformer},
	{"the same with protobuf", protobufInformer},
	{"an informer of metadata only", metadataInformer},
	{"a dynamic informer of a custom resource", dynamicInformer},
	{"RetryWatcher goes on from where it was", retryWatcher},
	{"pager reads in pieces", paging},
	{"server-side apply: owners, conflicts, force", serverSideApply},
	{"RetryOnConflict updates in the end", retryOnConflict},
	{"discovery and RESTMapper know kinds, short names and preferred versions", restMapper},
	{"OpenAPI documents are read by discovery", openAPI},
	{"leader election hands a Lease over", leaderElection},
	{"a work queue fed by an informer", workQueue},
	{"an event recorder makes and counts events", eventRecorder},
	{"wait until a condition by UntilWithSync", untilWithSync},
	{"exec over a WebSocket", func(ctx context.Context, w world) error { return execute(ctx, w, true, false) }},
	{"exec over SPDY", func(ctx context.Context, w world) error { return execute(ctx, w, false, true) }},
	{"exec over a WebSocket, else SPDY", func(ctx context.Context, w world) error { return execute(ctx, w, true, true) }},
	{"errors are told by their reasons", errorReasons},
}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"of": "test"}},
		Data:       map[string]string{"value": value},
	}
}

func until(ctx context.Context, what string, holds func() bool) error {
	err := wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(context.Context) (bool, error) {
		return holds(), nil
	})
	if err != nil {
		return fmt.Errorf("in vain: %s", what)
	}
	return nil
}

func follow(ctx context.Context, client kubernetes.Interface, prefix string) error {
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	maps := client.CoreV1().ConfigMaps(namespace)
	if _, err := maps.Create(limited, configMap(prefix+"-before", "1"), metav1.CreateOptions{}); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	lister := factory.Core().V1().ConfigMaps().Lister().ConfigMaps(namespace)
	factory.Start(limited.Done())
	for kind, ok := range factory.WaitForCacheSync(limited.Done()) {
		if !ok {
			return fmt.Errorf("%v has not synced", kind)
		}
	}
	if _, err := lister.Get(prefix + "-before"); err != nil {
		return err
	}
	if _, err := maps.Create(limited, configMap(prefix+"-after", "1"), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := until(limited, "the new one is seen", func() bool {
		_, err := lister.Get(prefix + "-after")
		return err == nil
	}); err != nil {
		return err
	}
	if _, err := maps.Update(limited, configMap(prefix+"-after", "2"), metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err := until(limited, "the update is seen", func() bool {
		found, err := lister.Get(prefix + "-after")
		return err == nil && found.Data["value"] == "2"
	}); err != nil {
		return err
	}
	if err := maps.DeleteCollection(limited, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "of=test"}); err != nil {
		return err
	}
	return until(limited, "the deletes are seen", func() bool {
		left, err := lister.List(labels.SelectorFromSet(labels.Set{"of": "test"}))
		return err == nil && len(left) == 0
	})
}

func sharedInformer(ctx context.Context, w world) error { return follow(ctx, w.client, "json") }

func protobufInformer(ctx context.Context, w world) error {
	config := rest.CopyConfig(w.config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return follow(ctx, kubernetes.NewForConfigOrDie(config), "protobuf")
}

func metadataInformer(ctx context.Context, w world) error {
	client, err := metadata.NewForConfig(w.config)
	if err != nil {
		return err
	}
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	seen := make(chan string, 100)
	source, err := client.Resource(namespaces).Watch(ctx, metav1.ListOptions{
		SendInitialEvents:    new(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
	})
	if err != nil {
		return err
	}
	defer source.Stop()
	for event := range source.ResultChan() {
		object, ok := event.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("an event holds a %T", event.Object)
		}
		if event.Type == watch.Bookmark {
			if object.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
				return errors.New("the first bookmark does not end the initial events")
			}
			break
		}
		seen <- object.Name
	}
	if len(seen) < 5 {
		return fmt.Errorf("only %d namespaces came", len(seen))
	}
	return nil
}

func dynamicInformer(ctx context.Context, w world) error {
	client := dynamic.NewForConfigOrDie(w.config)
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	definition := map[string]any{}
	text := `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"gears.go.example.com"},
	  "spec":{"group":"go.example.com","scope":"Namespaced","names":{"plural":"gears","singular":"gear","kind":"Gear","shortNames":["gr"]},
	  "versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object",
	  "properties":{"spec":{"type":"object","properties":{"teeth":{"type":"integer","default":12}}},
	  "status":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}]}}`
	if err := json.Unmarshal([]byte(text), &definition); err != nil {
		return err
	}
	if _, err := client.Resource(definitions).Create(ctx, &unstructured.Unstructured{Object: definition}, metav1.CreateOptions{}); err != nil {
		return err
	}
	gears := schema.GroupVersionResource{Group: "go.example.com", Version: "v1", Resource: "gears"}
	served := client.Resource(gears).Namespace(namespace)
	if err := until(ctx, "the kind is served", func() bool {
		_, err := served.List(ctx, metav1.ListOptions{})
		return err == nil
	}); err != nil {
		return err
	}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
	lister := factory.ForResource(gears).Lister().ByNamespace(namespace)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	gear := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "go.example.com/v1", "kind": "Gear", "metadata": map[string]any{"name": "one"}, "spec": map[string]any{},
	}}
	made, err := served.Create(ctx, gear, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if teeth, _, _ := unstructured.NestedInt64(made.Object, "spec", "teeth"); teeth != 12 {
		return fmt.Errorf("teeth are %d", teeth)
	}
	_ = unstructured.SetNestedField(made.Object, "turning", "status", "phase")
	if _, err := served.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	return until(ctx, "the status is seen", func() bool {
		object, err := lister.Get("one")
		if err != nil {
			return false
		}
		phase, _, _ := unstructured.NestedString(object.(*unstructured.Unstructured).Object, "status", "phase")
		return phase == "turning"
	})
}

func retryWatcher(ctx context.Context, w world) error {
	maps := w.client.CoreV1().ConfigMaps(namespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	// Each watch lasts a second: what comes in between must not be lost.
	source := &cache.ListWatch{WatchFunc: func(options metav1.ListOptions) (watch.Interface, error) {
		options.TimeoutSeconds = new(int64(1))
		return maps.Watch(ctx, options)
	}}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, source)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	const count = 25
	go func() {
		for i := range count {
			_, _ = maps.Create(ctx, configMap(fmt.Sprintf("retry-%02d", i), ""), metav1.CreateOptions{})
			time.Sleep(100 * time.Millisecond)
		}
	}()
	next := 0
	for event := range watcher.ResultChan() {
		object, ok := event.Object.(*corev1.ConfigMap)
		if !ok || event.Type != watch.Added || !strings.HasPrefix(object.Name, "retry-") {
			continue
		}
		if want := fmt.Sprintf("retry-%02d", next); object.Name != want {
			return fmt.Errorf("%s came where %s was due", object.Name, want)
		}
		if next++; next == count {
			return nil
		}
	}
	return fmt.Errorf("%d of %d came", next, count)
}

func paging(ctx context.Context, w world) error {
	calls := 0
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		calls++
		return w.client.CoreV1().ConfigMaps(namespace).List(ctx, options)
	})
	pages.PageSize = 10
	names := map[string]bool{}
	err := pages.EachListItem(ctx, metav1.ListOptions{LabelSelector: "of=test"}, func(object runtime.Object) error {
		names[object.(*corev1.ConfigMap).Name] = true
		return nil
	})
	if err != nil {
		return err
	}
	if len(names) != 25 || calls != 3 {
		return fmt.Errorf("%d objects in %d pages", len(names), calls)
	}
	return nil
}

func serverSideApply(ctx context.Context, w world) error {
	maps := w.client.CoreV1().ConfigMaps(namespace)
	data := func(key, value string) *applycore.ConfigMapApplyConfiguration {
		return applycore.ConfigMap("applied", namespace).WithData(map[string]string{key: value})
	}
	apply := func(manager string, force bool, config *applycore.ConfigMapApplyConfiguration) error {
		_, err := maps.Apply(ctx, config, metav1.ApplyOptions{FieldManager: manager, Force: force})
		return err
	}
	if err := apply("one", false, data("a", "1")); err != nil {
		return err
	}
	if err := apply("two", false, data("b", "1")); err != nil {
		return err
	}
	if err := apply("two", false, data("a", "2")); !apierrors.IsConflict(err) {
		return fmt.Errorf("no conflict but %v", err)
	}
	if err := apply("two", true, data("a", "2")); err != nil {
		return err
	}
	found, err := maps.Get(ctx, "applied", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if found.Data["a"] != "2" || found.Data["b"] != "" {
		return fmt.Errorf("the data are %v", found.Data)
	}
	extracted, err := applycore.ExtractConfigMap(found, "two")
	if err != nil || extracted.Data["a"] != "2" {
		return fmt.Errorf("extracted is %v, %v", extracted, err)
	}
	return nil
}

func retryOnConflict(ctx context.Context, w world) error {
	maps := w.client.CoreV1().ConfigMaps(namespace)
	if _, err := maps.Create(ctx, configMap("contested", "0"), metav1.CreateOptions{}); err != nil {
		return err
	}
	errs := make(chan error, 5)
	for i := range 5 {
		go func() {
			errs <- retry.RetryOnConflict(wait.Backoff{Steps: 50, Duration: 5 * time.Millisecond, Jitter: 1}, func() error {
				found, err := maps.Get(ctx, "contested", metav1.GetOptions{})
				if err != nil {
					return err
				}
				found.Data[fmt.Sprint("by-", i)] = "x"
				_, err = maps.Update(ctx, found, metav1.UpdateOptions{})
				return err
			})
		}()
	}
	for range 5 {
		if err := <-errs; err != nil {
			return err
		}
	}
	found, err := maps.Get(ctx, "contested", metav1.GetOptions{})
	if err == nil && len(found.Data) != 6 {
		err = fmt.Errorf("the data are %v", found.Data)
	}
	return err
}

func restMapper(ctx context.Context, w world) error {
	cached := memory.NewMemCacheClient(w.client.Discovery())
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached)
	for kind, resource := range map[string]string{
		"apps/Deployment": "deployments", "/Pod": "pods", "go.example.com/Gear": "gears", "batch/CronJob": "cronjobs",
	} {
		group, name, _ := strings.Cut(kind, "/")
		mapping, err := mapper.RESTMapping(schema.GroupKind{Group: group, Kind: name})
		if err != nil {
			return err
		}
		if mapping.Resource.Resource != resource || mapping.Scope.Name() != meta.RESTScopeNameNamespace {
			return fmt.Errorf("%s is %v", kind, mapping)
		}
	}
	short := restmapper.NewShortcutExpander(mapper, cached, nil)
	found, err := short.ResourceFor(schema.GroupVersionResource{Resource: "gr"})
	if err != nil || found.Resource != "gears" {
		return fmt.Errorf("gr is %v, %v", found, err)
	}
	hpa, err := mapper.RESTMapping(schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"})
	if err != nil || hpa.Resource.Version != "v2" {
		return fmt.Errorf("autoscalers prefer %v, %v", hpa, err)
	}
	_, err = discovery.ServerPreferredResources(w.client.Discovery())
	return err
}

func openAPI(_ context.Context, w world) error {
	document, err := w.client.Discovery().OpenAPISchema()
	if err != nil {
		return err
	}
	if len(document.Paths.Path) < 100 {
		return fmt.Errorf("only %d paths", len(document.Paths.Path))
	}
	paths, err := w.client.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	for _, name := range []string{"api/v1", "apis/apps/v1", "apis/go.example.com/v1"} {
		path, ok := paths[name]
		if !ok {
			return fmt.Errorf("%s is not there", name)
		}
		if _, err := path.Schema("application/com.github.proto-openapi.spec.v3@v1.0+protobuf"); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func leaderElection(ctx context.Context, w world) error {
	elect := func(ctx context.Context, name string, leads chan<- string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: "leader", Namespace: namespace},
			Client:     w.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true, LeaseDuration: 4 * time.Second, RenewDeadline: 3 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leads <- name }, OnStoppedLeading: func() {}},
		})
	}
	leads := make(chan string, 2)
	first, stop := context.WithCancel(ctx)
	second, end := context.WithCancel(ctx)
	defer end()
	go elect(first, "one", leads)
	if got := <-leads; got != "one" {
		return fmt.Errorf("%s leads", got)
	}
	go elect(second, "two", leads)
	time.Sleep(500 * time.Millisecond)
	stop()
	select {
	case got := <-leads:
		if got != "two" {
			return fmt.Errorf("%s leads then", got)
		}
		return nil
	case <-ctx.Done():
		return errors.New("nobody took over")
	}
}

func workQueue(ctx context.Context, w world) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	defer queue.ShutDown()
	factory := informers.NewSharedInformerFactoryWithOptions(w.client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.FieldSelector = "metadata.name=queued" }))
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { key, _ := cache.MetaNamespaceKeyFunc(object); queue.Add(key) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	maps := w.client.CoreV1().ConfigMaps(namespace)
	for _, name := range []string{"other", "queued"} {
		if _, err := maps.Create(ctx, configMap(name, ""), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	key, _ := queue.Get()
	defer queue.Done(key)
	if key != namespace+"/queued" {
		return fmt.Errorf("%s came", key)
	}
	return nil
}

func eventRecorder(ctx context.Context, w world) error {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: w.client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "client-go-test"})
	about, err := w.client.CoreV1().ConfigMaps(namespace).Get(ctx, "applied", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for range 3 {
		recorder.Event(about, corev1.EventTypeNormal, "Tested", "once more")
	}
	return until(ctx, "the event counts three", func() bool {
		list, err := w.client.CoreV1().Events(namespace).Search(scheme.Scheme, about)
		return err == nil && len(list.Items) == 1 && list.Items[0].Count == 3
	})
}

func pod(w world) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "busy", Namespace: namespace},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(0)),
			Containers:                    []corev1.Container{{Name: "main", Image: w.image, Command: []string{"sleep", "3600"}}},
		},
	}
}

func untilWithSync(ctx context.Context, w world) error {
	pods := w.client.CoreV1().Pods(namespace)
	if err := until(ctx, "the default account is there", func() bool {
		_, err := w.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	}); err != nil {
		return err
	}
	if _, err := pods.Create(ctx, pod(w), metav1.CreateOptions{}); err != nil {
		return err
	}
	source := cache.NewListWatchFromClient(w.client.CoreV1().RESTClient(), "pods", namespace, fields.Everything())
	_, err := watchtools.UntilWithSync(ctx, source, &corev1.Pod{}, nil, func(event watch.Event) (bool, error) {
		return event.Object.(*corev1.Pod).Status.Phase == corev1.PodRunning, nil
	})
	return err
}

func execute(ctx context.Context, w world, byWebSocket, bySpdy bool) error {
	request := w.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name("busy").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: "main", Command: []string{"sh", "-c", "cat; echo oops >&2; exit 3"}, Stdin: true, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	var executor remotecommand.Executor
	var err error
	switch {
	case byWebSocket && bySpdy:
		first, firstErr := remotecommand.NewWebSocketExecutor(w.config, "GET", request.URL().String())
		second, secondErr := remotecommand.NewSPDYExecutor(w.config, "POST", request.URL())
		if err = errors.Join(firstErr, secondErr); err == nil {
			executor, err = remotecommand.NewFallbackExecutor(first, second, httpstream.IsUpgradeFailure)
		}
	case byWebSocket:
		executor, err = remotecommand.NewWebSocketExecutor(w.config, "GET", request.URL().String())
	default:
		executor, err = remotecommand.NewSPDYExecutor(w.config, "POST", request.URL())
	}
	if err != nil {
		return err
	}
	var stdout, stderr bytes.Buffer
	input := strings.Repeat("0123456789", 10_000)
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &stderr})
	if err == nil || !strings.Contains(err.Error(), "exit code 3") {
		return fmt.Errorf("the end is %v", err)
	}
	if stdout.String() != input || stderr.String() != "oops\n" {
		return fmt.Errorf("%d bytes came, and %q", stdout.Len(), stderr.String())
	}
	return nil
}

func errorReasons(ctx context.Context, w world) error {
	maps := w.client.CoreV1().ConfigMaps(namespace)
	_, absent := maps.Get(ctx, "nothing", metav1.GetOptions{})
	_, present := maps.Create(ctx, configMap("applied", ""), metav1.CreateOptions{})
	_, invalid := maps.Create(ctx, configMap("Not_A_Name", ""), metav1.CreateOptions{})
	old := configMap("applied", "")
	old.ResourceVersion = "1"
	_, conflict := maps.Update(ctx, old, metav1.UpdateOptions{})
	_, expired := maps.List(ctx, metav1.ListOptions{Continue: "nonsense", Limit: 1})
	stranger := rest.AnonymousClientConfig(w.config)
	_, refused := kubernetes.NewForConfigOrDie(stranger).CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
	for name, ok := range map[string]bool{
		"NotFound":      apierrors.IsNotFound(absent),
		"AlreadyExists": apierrors.IsAlreadyExists(present),
		"Invalid":       apierrors.IsInvalid(invalid),
		"Conflict":      apierrors.IsConflict(conflict),
		"BadRequest":    apierrors.IsBadRequest(expired),
		"refused":       apierrors.IsForbidden(refused) || apierrors.IsUnauthorized(refused),
	} {
		if !ok {
			return fmt.Errorf("%s was not told", name)
		}
	}
	return nil
}
