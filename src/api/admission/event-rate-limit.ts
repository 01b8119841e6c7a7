/** EventRateLimit: more events than a limit allows are refused until there is room again. */
import type { Event } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { ExpiringCache } from "../../lib/expiring-cache.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import {
  checkType,
  intAt,
  invalidText,
  knownMembers,
  listAt,
  recordAt,
  textAt,
  throwProblems,
  unsupportedText,
} from "../config-reader.ts";

const cacheSizeDefault = 4096;
/** A bucket that nobody has used for so long is full again, whatever its rate. */
const forgottenMs = 24 * 3600 * 1000;

type KeyOf = (object: DeepReadonly<KubeObject>, context: AdmissionContext) => string;

const keys: Readonly<Record<string, KeyOf>> = {
  Namespace: (_, { namespace }) => namespace,
  Server: () => "",
  SourceAndObject(object) {
    const { source = {}, involvedObject: about = {} } = object as DeepReadonly<Event>;
    const { kind, namespace, name, uid, apiVersion } = about;
    return [source.component, source.host, kind, namespace, name, uid, apiVersion].join("");
  },
  User: (_, { request }) => request.user.name,
};

interface Limit {
  readonly type: string;
  readonly qps: number;
  readonly burst: number;
  readonly cacheSize: number;
}

function readLimits(value: unknown): readonly Limit[] {
  const config = recordAt(value, "");
  checkType(config, ["eventratelimit.admission.k8s.io/v1alpha1"], "Configuration");
  knownMembers(config, "", ["apiVersion", "kind", "limits"]);
  const list = listAt(config.limits, "limits");
  const problems = list.length === 0 ? [invalidText("limits", [], "must not be empty")] : [];
  const limits = list.map((one, index) => {
    const at = `limits[${index}]`;
    const limit = recordAt(one, at);
    knownMembers(limit, at, ["type", "qps", "burst", "cacheSize"]);
    const number = (key: string): number => intAt(limit[key], `${at}.${key}`) ?? 0;
    const type = textAt(limit.type, `${at}.type`);
    const cacheSize = number("cacheSize");
    if (keys[type] === undefined)
      problems.push(unsupportedText(`${at}.type`, type, Object.keys(keys)));
    for (const key of ["burst", "qps"])
      if (number(key) <= 0)
        problems.push(invalidText(`${at}.${key}`, number(key), "must be positive"));
    if (type !== "Server" && cacheSize < 0)
      problems.push(invalidText(`${at}.cacheSize`, cacheSize, "must not be negative"));
    return { type, qps: number("qps"), burst: number("burst"), cacheSize };
  });
  throwProblems(problems);
  return limits;
}

/** A bucket of tokens that fills up again by `qps` a second. */
interface Bucket {
  tokens: number;
  atMs: number;
}

/** Takes a token for the key; false when there is none. */
function takerOf(limit: Limit, nowMs: () => number): (key: string) => boolean {
  const { qps, burst } = limit;
  const buckets = new ExpiringCache<Bucket>(limit.cacheSize || cacheSizeDefault, nowMs);
  return (key) => {
    const now = nowMs();
    const bucket = buckets.get(key) ?? { tokens: burst, atMs: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.atMs) * qps) / 1000);
    bucket.atMs = now;
    const isAllowed = bucket.tokens >= 1;
    if (isAllowed) bucket.tokens -= 1;
    buckets.set(key, bucket, forgottenMs);
    return isAllowed;
  };
}

export const eventRateLimit: AdmissionPlugin = {
  name: "EventRateLimit",
  async configured(config, { clock }) {
    const limits = readLimits(config).map((limit) => {
      return { limit, take: takerOf(limit, () => clock.monotonicMs()) };
    });
    return {
      name: "EventRateLimit",
      async validate(object, context) {
        const { definition, dryRun, verb } = context;
        if (definition.group !== "" || definition.kind !== "Event" || dryRun) return;
        if (verb !== "CREATE" && verb !== "UPDATE") return;
        const reached = limits.flatMap(({ limit: { type }, take }) => {
          const key = keys[type]?.(object, context) ?? "";
          return take(key) ? [] : [`limit reached on type ${type} for key ${key}`];
        });
        if (reached.length === 0) return;
        const told = reached.length === 1 ? reached.join() : `[${reached.join(", ")}]`;
        throw new ApiError("TooManyRequests", told);
      },
    };
  },
};
