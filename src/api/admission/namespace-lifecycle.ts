/** NamespaceLifecycle: nothing is created in a namespace that is absent or going. */
import { namespaces } from "../../client/resources.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { AdmissionPlugin } from "../admission-plugin.ts";
import { notFound, refused } from "../errors.ts";
import type { ResourceDefinition } from "../resource-definition.ts";

const immortal = new Set(["default", "kube-system", "kube-public"]);

export const namespaceLifecycle: AdmissionPlugin = {
  name: "NamespaceLifecycle",
  // Deletions run through the validating half only.
  async validate(_object, { definition, name, verb }) {
    if (verb !== "DELETE" || !isNamespaces(definition) || !immortal.has(name)) return;
    throw refused(definition, name, "this namespace may not be deleted");
  },
  async mutate(_object, context) {
    const { definition, namespace, name, verb } = context;
    if (isNamespaces(definition)) return;
    if (verb !== "CREATE" || namespace === "" || definition.storagePrefix === null) return;
    const set = context.live.of(namespaces);
    const found =
      set.get(namespace)?.object ??
      (await context.client.get(namespaces, "", namespace).catch((error: unknown) => {
        if (error instanceof ApiError) return undefined;
        throw error;
      }));
    if (found === undefined) throw notFound(namespaces, namespace);
    if (found.status?.phase !== "Terminating") return;
    const going = "because it is being terminated";
    const why = `unable to create new content in namespace ${namespace} ${going}`;
    const error = refused(definition, name, why);
    throw new ApiError("Forbidden", error.message, {
      details: {
        ...error.details,
        causes: [
          {
            reason: "NamespaceTerminating",
            message: `namespace ${namespace} is being terminated`,
            field: "metadata.namespace",
          },
        ],
      },
    });
  },
};

function isNamespaces({ group, plural }: ResourceDefinition): boolean {
  return group === "" && plural === "namespaces";
}
