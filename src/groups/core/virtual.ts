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

/** How a part of the control plane is; `reason` is empty while it is well. */
export interface ComponentHealth {
  readonly name: string;
  readonly reason: string;
}

function statusOf({ name, reason }: ComponentHealth): ComponentStatus {
  const isWell = reason === "";
  const condition = isWell ? { message: "ok" } : { error: reason };
  return {
    apiVersion: "v1",
    kind: "ComponentStatus",
    metadata: { name },
    conditions: [{ type: "Healthy", status: isWell ? "True" : "False", ...condition }],
  };
}

/** What upstream probes as programs of their own, k3 asks of its parts. */
export const componentStatusRow = (
  components: () => Promise<readonly ComponentHealth[]>,
): ResourceDefinition =>
  define<ComponentStatus>(componentStatuses, {
    shortNames: ["cs"],
    computed: async () => (await components()).map(statusOf),
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
    storagePrefix: null,
  });
