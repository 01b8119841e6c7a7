/** PodNodeSelector: a namespace decides on which nodes its pods may run. */
import { namespaces } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { recordAt, textAt } from "../config-reader.ts";
import { notFound, refused } from "../errors.ts";
import { lookUp } from "./look-up.ts";

type Labels = Readonly<Record<string, string>>;

const annotation = "scheduler.alpha.kubernetes.io/node-selector";
const clusterDefault = "clusterDefaultNodeSelector";

/** `a=b,c=d`; throws for what is no such list. */
function labelsOf(selector: string): Labels {
  const pairs = selector.split(",").filter((one) => one.trim() !== "");
  return Object.fromEntries(
    pairs.map((pair) => {
      const [key = "", value, ...rest] = pair.split("=");
      if (value === undefined || rest.length > 0)
        throw new ApiError("InternalError", `invalid selector: [${pairs.join(" ")}]`);
      return [key.trim(), value.trim()] as const;
    }),
  );
}

function conflict(a: Labels, b: Labels): boolean {
  return Object.entries(a).some(([key, value]) => b[key] !== undefined && b[key] !== value);
}

function readSelectors(value: unknown): Labels {
  const name = "podNodeSelectorPluginConfig";
  const selectors = Object.entries(recordAt(recordAt(value, "")[name], name));
  return Object.fromEntries(
    selectors.map(([key, selector]) => [key, textAt(selector, `${name}.${key}`)]),
  );
}

/** What the namespace asks for, or the default of the cluster. */
async function wantedIn(context: AdmissionContext, selectors: Labels): Promise<Labels> {
  const namespace = await lookUp(context.live, namespaces, "", context.namespace);
  if (namespace === undefined) throw notFound(namespaces, context.namespace);
  return labelsOf(namespace.metadata.annotations?.[annotation] ?? selectors[clusterDefault] ?? "");
}

function isNewPod({ definition, subresource, verb }: AdmissionContext): boolean {
  const isPod = definition.group === "" && definition.plural === "pods";
  return isPod && subresource === "" && verb === "CREATE";
}

function check(
  pod: DeepReadonly<Pod>,
  wanted: Labels,
  allowed: Labels,
  context: AdmissionContext,
): void {
  const selector = pod.spec.nodeSelector ?? {};
  const refuse = (why: string): Error =>
    refused(context.definition, context.name, `pod node label selector ${why}`);
  if (conflict(wanted, selector)) throw refuse("conflicts with its namespace node label selector");
  const isWithin = Object.entries(selector).every(([key, value]) => allowed[key] === value);
  if (Object.keys(allowed).length > 0 && !isWithin)
    throw refuse("labels conflict with its namespace whitelist");
}

function withSelectors(selectors: Labels): AdmissionPlugin {
  return {
    name: "PodNodeSelector",
    configured: async (config) => withSelectors(readSelectors(config)),
    async mutate(object, context) {
      if (!isNewPod(context)) return;
      const pod = object as Pod;
      const wanted = await wantedIn(context, selectors);
      check(pod, wanted, {}, context);
      const selector = { ...wanted, ...pod.spec.nodeSelector };
      if (Object.keys(selector).length > 0) pod.spec.nodeSelector = selector;
    },
    async validate(object, context) {
      if (!isNewPod(context)) return;
      const wanted = await wantedIn(context, selectors);
      const allowed = labelsOf(selectors[context.namespace] ?? "");
      check(object as DeepReadonly<Pod>, wanted, allowed, context);
    },
  };
}

export const podNodeSelector = withSelectors({});
