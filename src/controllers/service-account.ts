/** Gives each namespace its ServiceAccount `default` and its ConfigMap `kube-root-ca.crt`. */
import { configMaps, namespaces, serviceAccounts } from "../client/resources.ts";
import type { ConfigMap } from "../gen/core-v1.ts";
import { isReason } from "../lib/api-error.ts";
import { type Controller, type ControllerContext, watchRule } from "../live/controller.ts";
import { isDeleting, mutable } from "./objects.ts";
import { isNamespaceTerminating } from "./pod-control.ts";

const defaultName = "default";
const rootCaName = "kube-root-ca.crt";
const rootCaDescription = {
  "kubernetes.io/description":
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal " +
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is " +
    "guaranteed across distributions of Kubernetes clusters.",
};

/** Creates the controller that keeps a ServiceAccount `default` in every namespace. */
export function createServiceAccountController(context: ControllerContext): Controller {
  const { client, live } = context;
  const namespaceSet = live.of(namespaces);
  const accountSet = live.of(serviceAccounts);
  return {
    name: "serviceaccount",
    concurrent: 1,
    watches: [
      watchRule(namespaces, ({ now }) => [now.key]),
      watchRule(serviceAccounts, ({ type, now }) =>
        type === "deleted" && now.object.metadata.name === defaultName
          ? [now.object.metadata.namespace ?? ""]
          : [],
      ),
    ],
    async reconcile(key) {
      const namespace = namespaceSet.get(key)?.object;
      if (namespace === undefined || isDeleting(namespace)) return "done";
      if (accountSet.get(`${key}/${defaultName}`) !== undefined) return "done";
      await unlessPresent(() =>
        client.create(serviceAccounts, {
          apiVersion: "v1",
          kind: "ServiceAccount",
          metadata: { name: defaultName, namespace: key },
        }),
      );
      return "done";
    },
  };
}

/** Creates the controller that publishes the cluster's CA certificates to every namespace. */
export function createRootCaPublisher(
  context: ControllerContext,
  options: { readonly rootCa: string },
): Controller {
  const { client, live } = context;
  const namespaceSet = live.of(namespaces);
  const configMapSet = live.of(configMaps);
  return {
    name: "root-ca-certificate-publisher",
    concurrent: 1,
    watches: [
      watchRule(namespaces, ({ now }) => [now.key]),
      watchRule(configMaps, ({ now }) =>
        now.object.metadata.name === rootCaName ? [now.object.metadata.namespace ?? ""] : [],
      ),
    ],
    async reconcile(key) {
      const namespace = namespaceSet.get(key)?.object;
      if (namespace === undefined || isDeleting(namespace)) return "done";
      const data = { "ca.crt": options.rootCa };
      const present = configMapSet.get(`${key}/${rootCaName}`)?.object;
      if (present === undefined) {
        await unlessPresent(() =>
          client.create(configMaps, {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { name: rootCaName, namespace: key, annotations: rootCaDescription },
            data,
          }),
        );
        return "done";
      }
      const keys = Object.keys(present.data ?? {});
      if (keys.length === 1 && present.data?.["ca.crt"] === options.rootCa) return "done";
      await client.update(configMaps, { ...mutable<ConfigMap>(present), data });
      return "done";
    },
  };
}

/** That it exists already, or that the namespace just began to end, is no failure. */
async function unlessPresent(create: () => Promise<unknown>): Promise<void> {
  try {
    await create();
  } catch (error) {
    if (isReason(error, "AlreadyExists") || isReason(error, "NotFound")) return;
    if (!isNamespaceTerminating(error)) throw error;
  }
}
