/** Converts custom resources between versions by the webhook of their definition. */
import type { Convert } from "../../api/resource-definition.ts";
import { callWebhook } from "../../api/webhooks/call-webhook.ts";
import type {
  ConversionResponse,
  ConversionReview,
  CustomResourceDefinition,
} from "../../gen/apiextensions-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { KubeObject } from "../../schema/object.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;

export interface ConversionOptions {
  readonly live: LiveSets;
  readonly runtime: Runtime;
}

const limits = { timeoutSeconds: 30 } as const;
const reviewVersions = ["v1", "v1beta1"];

/** Asks the webhook once for all objects of other versions; undefined when there is none. */
export function webhookConversion(crd: Crd, options: ConversionOptions): Convert | undefined {
  const { conversion } = crd.spec;
  const clientConfig = conversion?.webhook?.clientConfig;
  if (conversion?.strategy !== "Webhook" || clientConfig === undefined) return undefined;
  const accepted = conversion.webhook?.conversionReviewVersions ?? [];
  const version = accepted.find((one) => reviewVersions.includes(one)) ?? "v1";
  return async (objects, apiVersion) => {
    const others = objects.filter((object) => object.apiVersion !== apiVersion);
    if (others.length === 0) return objects;
    const uid = options.runtime.random.uuid();
    const review = {
      kind: "ConversionReview",
      apiVersion: `apiextensions.k8s.io/${version}`,
      request: { uid, desiredAPIVersion: apiVersion, objects: others },
    };
    try {
      const answer = await callWebhook({
        ...options,
        clientConfig,
        seconds: limits.timeoutSeconds,
        body: JSON.stringify(review),
        signal: new AbortController().signal,
      });
      const converted = readAnswer(answer, review, others);
      let next = 0;
      return objects.map((object) =>
        object.apiVersion === apiVersion ? object : (converted[next++] as KubeObject),
      );
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const { group, names } = crd.spec;
      const from = others[0]?.apiVersion.split("/").at(-1);
      const message = `conversion webhook for ${group}/${from}, Kind=${names.kind} failed: ${why}`;
      throw new ApiError("InternalError", message, { cause: error });
    }
  };
}

/** The converted objects; only labels and annotations of their metadata may have changed. */
function readAnswer(
  text: string,
  review: {
    readonly apiVersion: string;
    readonly request: { readonly uid: string; readonly desiredAPIVersion: string };
  },
  sent: readonly KubeObject[],
): readonly KubeObject[] {
  const answer = JSON.parse(text) as Partial<ConversionReview>;
  const response = answer.response as Partial<ConversionResponse> | undefined;
  if (answer.apiVersion !== review.apiVersion || answer.kind !== "ConversionReview") {
    throw new Error(`expected webhook response of ${review.apiVersion}, Kind=ConversionReview`);
  }
  if (response === undefined) throw new Error("no response provided");
  const { uid, result, convertedObjects = [] } = response;
  if (uid !== review.request.uid) {
    throw new Error(`expected response.uid ${JSON.stringify(review.request.uid)}, got "${uid}"`);
  }
  if (result?.status !== "Success") throw new Error(result?.message || "no reason given");
  if (convertedObjects.length !== sent.length) {
    const counts = `expected ${sent.length} converted objects, got ${convertedObjects.length}`;
    throw new Error(`webhook returned ${convertedObjects.length} objects: ${counts}`);
  }
  const wanted = review.request.desiredAPIVersion;
  return (convertedObjects as readonly KubeObject[]).map((object, index) =>
    checkConverted(object, sent[index] as KubeObject, wanted, index),
  );
}

function checkConverted(
  object: KubeObject,
  sent: KubeObject,
  wanted: string,
  index: number,
): KubeObject {
  if (object.apiVersion !== wanted) {
    throw new Error(`invalid groupVersion at index ${index}: ${object.apiVersion}`);
  }
  if (object.kind !== sent.kind) throw new Error(`invalid kind at index ${index}: ${object.kind}`);
  const { labels, annotations, name, namespace, uid } = object.metadata;
  for (const [field, value] of Object.entries({ name, namespace, uid })) {
    if (value !== sent.metadata[field as "name"]) {
      throw new Error(`invalid metadata of object ${index}: ${field} must not be changed`);
    }
  }
  const { labels: _l, annotations: _a, ...kept } = sent.metadata;
  const metadata = {
    ...kept,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  return { ...object, metadata };
}
