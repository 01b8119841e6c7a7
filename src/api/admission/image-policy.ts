/** ImagePolicyWebhook: another server decides which images pods may run. */
import type { Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { ExpiringCache } from "../../lib/expiring-cache.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { flagAt, intAt, recordAt, textAt } from "../config-reader.ts";
import { refused } from "../errors.ts";
import { type FileWebhook, openFileWebhook } from "../webhooks/file-webhook.ts";

const limits = { timeoutMs: 30_000, answersMax: 1024 } as const;
const never = new AbortController().signal;
const name = "ImagePolicyWebhook";
const auditPrefix = "imagepolicywebhook.image-policy.k8s.io/";

interface Settings {
  readonly configFile: string;
  readonly allowMs: number;
  readonly denyMs: number;
  readonly backoffMs: number;
  readonly defaultAllow: boolean;
}

interface Status {
  readonly allowed?: boolean;
  readonly reason?: string;
  readonly auditAnnotations?: Readonly<Record<string, string>>;
}

interface Scale {
  readonly unitMs: number;
  readonly most: number;
  readonly standardMs: number;
}

/** -1 turns it off, 0 stands for the default. */
function timeAt(value: number, { unitMs, most, standardMs }: Scale): number {
  if (value === -1) return 0;
  if (value === 0) return standardMs;
  if (value >= 1 && value * unitMs <= most) return value * unitMs;
  throw new Error(`valid value is between 1 and ${most / unitMs}, got ${value}`);
}

function readSettings(value: unknown): Settings {
  const policy = recordAt(recordAt(value, "").imagePolicy, "imagePolicy");
  const number = (key: string): number => intAt(policy[key], `imagePolicy.${key}`) ?? 0;
  const ttl = { unitMs: 1000, most: 1_800_000 };
  const configFile = textAt(policy.kubeConfigFile, "imagePolicy.kubeConfigFile");
  if (configFile === "") throw new Error("no config specified");
  return {
    configFile,
    allowMs: timeAt(number("allowTTL"), { ...ttl, standardMs: 300_000 }),
    denyMs: timeAt(number("denyTTL"), { ...ttl, standardMs: 30_000 }),
    backoffMs: timeAt(number("retryBackoff"), { unitMs: 1, most: 300_000, standardMs: 500 }),
    defaultAllow: flagAt(policy.defaultAllow, "imagePolicy.defaultAllow") ?? false,
  };
}

function specOf(pod: DeepReadonly<Pod>, { subresource, namespace }: AdmissionContext): object {
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  const judged = subresource === "" ? [...containers, ...initContainers] : ephemeralContainers;
  const annotations = Object.entries(pod.metadata.annotations ?? {}).filter(([key]) =>
    key.includes(".image-policy.k8s.io/"),
  );
  return {
    containers: judged.map(({ image }) => ({ image })),
    annotations: Object.fromEntries(annotations),
    namespace,
  };
}

async function ask(webhook: FileWebhook, spec: object): Promise<Status> {
  const apiVersion = "imagepolicy.k8s.io/v1alpha1";
  const review = { kind: "ImageReview", apiVersion, metadata: {}, spec, status: {} };
  const answer = recordAt(JSON.parse(await webhook.post(JSON.stringify(review), never)), "");
  if (answer.kind !== "ImageReview") throw new Error("the webhook did not answer an ImageReview");
  return recordAt(answer.status, "status");
}

function isJudged({ definition, subresource, verb }: AdmissionContext): boolean {
  const isPod = definition.group === "" && definition.plural === "pods";
  const isWritten = verb === "CREATE" || verb === "UPDATE";
  return isPod && isWritten && (subresource === "" || subresource === "ephemeralcontainers");
}

async function open(config: unknown, runtime: Runtime): Promise<AdmissionPlugin> {
  const { configFile, allowMs, denyMs, backoffMs, defaultAllow } = readSettings(config);
  const { timeoutMs } = limits;
  const initialBackoffMs = backoffMs;
  const webhook = await openFileWebhook({ configFile, runtime, initialBackoffMs, timeoutMs });
  const answers = new ExpiringCache<Status>(limits.answersMax, () => runtime.clock.monotonicMs());
  return {
    name,
    async validate(object, context) {
      if (!isJudged(context)) return;
      const spec = specOf(object as DeepReadonly<Pod>, context);
      const key = JSON.stringify(spec);
      let status = answers.get(key);
      if (status === undefined) {
        const asked = await ask(webhook, spec).catch((error: unknown) => String(error));
        if (typeof asked === "string") {
          if (!defaultAllow) throw refused(context.definition, context.name, asked);
          context.annotate(`${auditPrefix}failed-open`, "true");
          return;
        }
        status = asked;
        answers.set(key, status, status.allowed ? allowMs : denyMs);
      }
      for (const [key, value] of Object.entries(status.auditAnnotations ?? {}))
        context.annotate(auditPrefix + key, value);
      if (status.allowed) return;
      const { reason = "" } = status;
      const denied = `image policy webhook backend denied one or more images: ${reason}`;
      const why = reason === "" ? "one or more images rejected by webhook backend" : denied;
      throw refused(context.definition, context.name, why);
    },
  };
}

export const imagePolicyWebhook: AdmissionPlugin = { name, configured: open };
