/** Bootstrap tokens: `id.secret`, known by Secrets of kube-system, for nodes that join. */
import { secrets } from "../../client/resources.ts";
import type { Secret } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { sameSecret } from "../../lib/same-secret.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { User } from "../request.ts";

const form = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const groupForm = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;
const never = new AbortController().signal;

/** Undefined for what is no bootstrap token, and for one that is unknown, expired or unusable. */
export async function bootstrapUser(
  token: string,
  context: { readonly live: LiveSets; readonly now: Date },
): Promise<User | undefined> {
  const [, id = "", secret = ""] = form.exec(token) ?? [];
  if (id === "") return undefined;
  const set = context.live.of(secrets);
  await set.ready(never);
  const held = set.get(`kube-system/bootstrap-token-${id}`)?.object;
  if (held === undefined || !isUsable(held, id, context.now)) return undefined;
  if (!sameSecret(text(held, "token-secret"), secret)) return undefined;
  const groups = extraGroups(text(held, "auth-extra-groups"));
  if (groups === undefined) return undefined;
  return {
    name: `system:bootstrap:${id}`,
    uid: "",
    groups: ["system:bootstrappers", ...groups],
    extra: {},
  };
}

function text(secret: DeepReadonly<Secret>, key: string): string {
  return Buffer.from(secret.data?.[key] ?? "", "base64").toString();
}

function isUsable(secret: DeepReadonly<Secret>, id: string, now: Date): boolean {
  if (secret.type !== "bootstrap.kubernetes.io/token") return false;
  if (secret.metadata.deletionTimestamp !== undefined) return false;
  if (text(secret, "token-id") !== id) return false;
  if (text(secret, "usage-bootstrap-authentication") !== "true") return false;
  const expiration = text(secret, "expiration");
  // A time that cannot be read counts as over.
  return expiration === "" || Date.parse(expiration) > now.getTime();
}

function extraGroups(list: string): readonly string[] | undefined {
  const groups = [
    ...new Set(
      list
        .split(",")
        .map((group) => group.trim())
        .filter(Boolean),
    ),
  ];
  return groups.every((group) => groupForm.test(group)) ? groups.sort() : undefined;
}
