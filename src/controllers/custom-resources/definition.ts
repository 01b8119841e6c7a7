/** Accepts the names of CustomResourceDefinitions, and empties those that are being deleted. */
import type { Resource } from "../../client/client.ts";
import { customResourceDefinitions } from "../../client/resources.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionStatus,
} from "../../gen/apiextensions-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { KubeObject } from "../../schema/object.ts";
import { isDeleting, sameJson } from "../objects.ts";
import { hasCondition, planNames, planTerminating, takenNames } from "./plan.ts";

const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";
const limits = { pageObjectsMax: 500, lookAgainMs: 500 } as const;

/** Creates the controller; its keys are the names of definitions. */
export function createCustomResourceDefinitionController(context: ControllerContext): Controller {
  const reconciler = new DefinitionReconciler(context);
  return {
    name: "custom-resource-definition",
    concurrent: 4,
    watches: [
      watchRule(customResourceDefinitions, ({ type, now, before }) => {
        const names = before?.object.status?.acceptedNames;
        const isSame = sameJson(names ?? {}, now.object.status?.acceptedNames ?? {});
        if (type !== "deleted" && (before === undefined || isSame)) return [now.key];
        // Names that were taken may be free now.
        return reconciler.keysOfGroup(now.object.spec.group);
      }),
    ],
    reconcile: (key) => reconciler.reconcile(key),
  };
}

class DefinitionReconciler {
  constructor(private readonly context: ControllerContext) {}

  *keysOfGroup(group: string): Iterable<string> {
    for (const { key, object } of this.context.live.of(customResourceDefinitions).list()) {
      if (object.spec.group === group) yield key;
    }
  }

  async reconcile(name: string): Promise<Outcome> {
    const { client, live, runtime } = this.context;
    let crd: CustomResourceDefinition;
    try {
      crd = await client.get(customResourceDefinitions, "", name);
    } catch (error) {
      if (isReason(error, "NotFound")) return "done";
      throw error;
    }
    if (isDeleting(crd)) return await this.#empty(crd);
    const others = [...live.of(customResourceDefinitions).list()].map(({ object }) => object);
    await this.#write(crd, planNames(crd, takenNames(crd, others), runtime.clock.now()));
    return "done";
  }

  async #write(
    crd: CustomResourceDefinition,
    status: CustomResourceDefinitionStatus,
  ): Promise<CustomResourceDefinition> {
    if (sameJson(status, crd.status ?? {})) return crd;
    const next = { ...crd, status };
    return await this.context.client.update(customResourceDefinitions, next, {
      subresource: "status",
    });
  }

  /** Deletes the objects, and lets the definition go when the last of them is gone. */
  async #empty(crd: CustomResourceDefinition): Promise<Outcome> {
    const { client, runtime } = this.context;
    if (!crd.metadata.finalizers?.includes(cleanupFinalizer)) return "done";
    const resource = resourceOf(crd);
    let current = crd;
    if (resource !== undefined) {
      current = await this.#write(crd, planTerminating(crd, "InProgress", 0, runtime.clock.now()));
      const remaining = await this.#deleteAll(resource);
      if (remaining > 0) return { againInMs: limits.lookAgainMs };
    }
    const done = planTerminating(current, "Completed", 0, runtime.clock.now());
    current = await this.#write(current, done);
    const finalizers = current.metadata.finalizers?.filter((name) => name !== cleanupFinalizer);
    const metadata = { ...current.metadata, finalizers: finalizers ?? [] };
    await client.update(customResourceDefinitions, { ...current, metadata });
    return "done";
  }

  /** Asks for the deletion of every object; answers how many are left. */
  async #deleteAll(resource: Resource<KubeObject>): Promise<number> {
    const { client } = this.context;
    for (const { metadata } of await this.#list(resource)) {
      if (metadata.deletionTimestamp !== undefined) continue;
      try {
        await client.delete(resource, metadata.namespace ?? "", metadata.name ?? "", {});
      } catch (error) {
        if (!isReason(error, "NotFound")) throw error;
      }
    }
    return (await this.#list(resource)).length;
  }

  async #list(resource: Resource<KubeObject>): Promise<KubeObject[]> {
    const found: KubeObject[] = [];
    let next = "";
    do {
      const page = await this.context.client.list(resource, "", {
        limit: limits.pageObjectsMax,
        ...(next === "" ? {} : { continue: next }),
      });
      found.push(...page.items);
      next = page.continue;
    } while (next !== "");
    return found;
  }
}

/** The definition's objects as they are served; undefined when they never were. */
function resourceOf(crd: CustomResourceDefinition): Resource<KubeObject> | undefined {
  if (!hasCondition(crd, "Established")) return undefined;
  const served = (crd.spec.versions ?? []).filter((version) => version.served);
  const version = served.find(({ storage }) => storage) ?? served[0];
  if (version === undefined) return undefined;
  const { group, names, scope } = crd.spec;
  return {
    group,
    version: version.name,
    plural: names.plural,
    kind: names.kind,
    namespaced: scope === "Namespaced",
  } as Resource<KubeObject>;
}
