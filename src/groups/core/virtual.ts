/** bindings and componentstatuses: served, never stored. */
import type { ResourceDefinition } from "../../api/resource-definition.ts";
import { bindings, componentStatuses, pods } from "../../client/resources.ts";
import type { Binding, ComponentStatus } from "../../gen/core-v1.ts";
import { column, define } from "../row.ts";

/** The old door to pods/binding. */
export const binding: ResourceDefinition = define<Binding>(bindings, {
  verbs: ["create"],
  storagePrefix: null,
  async virtual(object, request, context) {
    const name = object.metadata.name ?? "";
    await context.client.createSubresource(pods, request.namespace, name, "binding", object);
    return object;
  },
});

/** Upstream probes components of its own here; k3 has none apart from itself. */
export const componentStatus: ResourceDefinition = define<ComponentStatus>(componentStatuses, {
  shortNames: ["cs"],
  deprecation: "v1 ComponentStatus is deprecated in v1.19+",
  verbs: ["get", "list"],
  columns: [
    column("Status", (one) =>
      (one.conditions ?? []).some(({ type, status }) => type === "Healthy" && status === "True")
        ? "Healthy"
        : "Unhealthy",
    ),
    column("Message", (one) => one.conditions?.[0]?.message ?? ""),
    column("Error", (one) => one.conditions?.[0]?.error ?? ""),
  ],
  age: -1,
  storagePrefix: "componentstatuses",
});
