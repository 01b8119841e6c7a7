#!/usr/bin/env bash
# Runs upstream's kubectl command tests (test/cmd) as they are, against a server that is up.
#
#   KUBE_ROOT    a writable copy of Kubernetes' source tree, with kubectl in _output/bin
#   ADMIN_CONFIG the admin's kubeconfig
#   API_PORT     where the server listens
#   REPORT_DIR   for the report of each test
#   WHAT         names of tests to run instead of all, without run_ and _tests
#
# What upstream's hack/make-rules/test-cmd.sh does besides is to build and start the programs.
set -o errexit -o nounset -o pipefail
cd "${KUBE_ROOT}"
export KUBE_JUNIT_REPORT_DIR="${REPORT_DIR}" SECURE_API_PORT="${API_PORT}"
source "${KUBE_ROOT}/hack/lib/init.sh"
source "${KUBE_ROOT}/hack/lib/test.sh"
source "${KUBE_ROOT}/test/cmd/legacy-script.sh"

# The programs are there already.
make() { :; }
kube::etcd::start() { :; }
kube::etcd::cleanup() { :; }

setup
kubectl create --kubeconfig="${ADMIN_CONFIG}" -f - <<'NODE'
{
  "apiVersion": "v1",
  "kind": "Node",
  "metadata": { "name": "127.0.0.1", "annotations": { "save-managers": "true" } },
  "status": { "capacity": { "memory": "1Gi" } }
}
NODE
export SUPPORTED_RESOURCES=("*")
runTests
