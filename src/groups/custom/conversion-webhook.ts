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
import { parseExact } from "../../lib/exact-json.ts";
import { labelKeyErrors, labelValueErrors } from "../../lib/names.ts";
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
    const { group, names } = crd.spec;
    const from = others[0]?.apiVersion.split("/").at(-1);
    const what = `conversion webhook for ${group}/${from}, Kind=${names.kind}`;
    try {
      const converted = await callConverter(review, { ...options, clientConfig });
      if (converted.length !== others.length) {
        const counts = `${converted.length} objects, expected ${others.length}`;
        throw new InvalidAnswer(`returned ${counts}`);
      }
      const checked = converted.map((object, index) => {
        const at = objects.length === 1 ? "" : ` at index ${index}`;
        return checkConverted(object, others[index] as KubeObject, apiVersion, at);
      });
      let next = 0;
      return objects.map((object) =>
        object.apiVersion === apiVersion ? object : (checked[next++] as KubeObject),
      );
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `${what} ${error instanceof InvalidAnswer ? why : `failed: ${why}`}`;
      throw new ApiError("InternalError", message, { cause: error });
    }
  };
}

/** The webhook answered, but not with what it was asked for. */
class InvalidAnswer extends Error {
  override readonly name = "InvalidAnswer";
}

interface Review {
  readonly kind: string;
  readonly apiVersion: string;
  readonly request: {
    readonly uid: string;
    readonly desiredAPIVersion: string;
    readonly objects: readonly KubeObject[];
  };
}

type Client = NonNullable<Parameters<typeof callWebhook>[0]["clientConfig"]>;

/** Asks; @throws Error when there is no answer, or one that tells of a failure. */
async function callConverter(
  review: Review,
  options: ConversionOptions & { readonly clientConfig: Client },
): Promise<readonly KubeObject[]> {
  const text = await callWebhook({
    ...options,
    seconds: limits.timeoutSeconds,
    body: JSON.stringify(review),
    signal: new AbortController().signal,
  });
  const answer = parseExact(text) as Partial<ConversionReview>;
  const response = answer.response as Partial<ConversionResponse> | undefined;
  if (answer.apiVersion !== review.apiVersion || answer.kind !== "ConversionReview") {
    const got = `${answer.apiVersion ?? "/"}, Kind=${answer.kind ?? ""}`;
    throw new Error(
      `expected webhook response of ${review.apiVersion}, Kind=ConversionReview, got ${got}`,
    );
  }
  if (response === undefined) throw new Error("no response provided");
  const { uid = "", result, convertedObjects = [] } = response;
  // The older form of the answer does not repeat who asked.
  if (review.apiVersion.endsWith("/v1") && uid !== review.request.uid) {
    const [wanted, got] = [review.request.uid, uid].map((one) => JSON.stringify(one));
    throw new Error(`expected response.uid=${wanted}, got ${got}`);
  }
  if (result?.status !== "Success") {
    const status = result?.status ?? "";
    throw new Error(result?.message || `response.result.status was '${status}', not 'Success'`);
  }
  return convertedObjects as readonly KubeObject[];
}

/** Of what came back, only labels and annotations of the metadata may be other than sent. */
function checkConverted(
  object: KubeObject,
  sent: KubeObject,
  wanted: string,
  at: string,
): KubeObject {
  const invalid = (why: string): InvalidAnswer =>
    new InvalidAnswer(`returned invalid ${at === "" ? "" : "converted "}object${at}: ${why}`);
  const { apiVersion, kind } = object;
  if (apiVersion !== wanted) {
    throw invalid(`invalid groupVersion (expected ${wanted}, received ${apiVersion ?? ""})`);
  }
  if (kind !== sent.kind) {
    throw invalid(`invalid kind (expected ${sent.kind}, received ${kind ?? ""})`);
  }
  const own: unknown = object.metadata;
  if (!isObject(own)) {
    const what = own === undefined ? "missing metadata" : "invalid metadata";
    throw new InvalidAnswer(`returned invalid metadata${at}: ${what} in converted object`);
  }
  for (const field of ["name", "namespace", "uid"] as const) {
    const [before, after] = [sent.metadata[field] ?? "", own[field] ?? ""];
    const word = field === "uid" ? "UID" : field;
    if (before !== after) throw invalid(`must have the same ${word}: ${before} != ${after}`);
  }
  const { labels: _l, annotations: _a, ...metadata } = sent.metadata;
  for (const field of ["labels", "annotations"] as const) {
    const texts = own[field];
    if (texts === undefined || texts === null) continue;
    const wrong = textProblem(field, texts);
    if (wrong !== undefined) throw new InvalidAnswer(`returned invalid metadata${at}: ${wrong}`);
    Object.assign(metadata, { [field]: texts });
  }
  return { ...object, metadata };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What is wrong with labels or annotations that a webhook made. */
function textProblem(field: "labels" | "annotations", texts: unknown): string | undefined {
  if (!isObject(texts)) return `invalid metadata.${field} in converted object`;
  for (const [key, value] of Object.entries(texts)) {
    if (typeof value !== "string") {
      return `metadata.${field}[${key}] must be a string, but is not in converted object`;
    }
    const wrong = [
      ...labelKeyErrors(key),
      ...(field === "labels" ? labelValueErrors(value) : []),
    ].join(", ");
    if (wrong !== "") return `metadata.${field}: Invalid value: ${JSON.stringify(key)}: ${wrong}`;
  }
  return undefined;
}
