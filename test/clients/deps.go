// Package clients pins what the suites of foreign clients are built from.
package clients

import _ "sigs.k8s.io/controller-runtime/pkg/envtest"
