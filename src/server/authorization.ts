/** Who is asked what users may do: by flags, or by a file that is read again when it changes. */
import {
  type AuthorizerSettings,
  decodeAuthorizationConfig,
} from "../api/auth/authorization-config.ts";
import { createAuthorizer, type Link } from "../api/auth/authorizers.ts";
import { openWebhookAuthorizer } from "../api/auth/webhook-authorizer.ts";
import type { Authorizer } from "../api/authorizer.ts";
import type { LiveSets } from "../live/live-set.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { parseBody } from "../schema/parse.ts";
import { followFile, Reloads } from "./follow-file.ts";
import type { AuthorizationOptions } from "./options.ts";
import { StartError } from "./start-error.ts";

export interface Authorization {
  readonly authorizer: (live: LiveSets) => Authorizer;
  /** Of the file, when there is one. */
  readonly reloads?: Reloads;
}

/** Makes the authorizer once the LiveSets are there; throws StartError for what cannot be used. */
export async function openAuthorization(
  options: AuthorizationOptions,
  runtime: Runtime,
  scope: Scope,
): Promise<Authorization> {
  if (options.configFile === undefined) {
    const links = await openLinks(options.chain, runtime).catch((error: unknown) => {
      throw new StartError(`Cannot use the authorization webhook: ${textOf(error)}`);
    });
    return { authorizer: (live) => createAuthorizer(live, links) };
  }
  const file = options.configFile;
  const current = { links: [] as readonly Link[] };
  const load = async (bytes: Uint8Array): Promise<void> => {
    current.links = await openLinks(await readSettings(bytes), runtime);
  };
  const [reloads, what] = [new Reloads("authorization"), "the authorization configuration"];
  await followFile(file, { runtime, scope, reloads, what, load });
  return { authorizer: (live) => followLinks(() => current.links, live), reloads };
}

/** The authorizers of the newest links; made anew when those change. */
function followLinks(links: () => readonly Link[], live: LiveSets): Authorizer {
  let made = { links: links(), authorizer: createAuthorizer(live, links()) };
  const newest = (): Authorizer => {
    const now = links();
    if (now !== made.links) made = { links: now, authorizer: createAuthorizer(live, now) };
    return made.authorizer;
  };
  return {
    authorize: (attributes) => newest().authorize(attributes),
    rulesFor: (user, namespace) => newest().rulesFor?.(user, namespace),
  };
}

async function readSettings(bytes: Uint8Array): Promise<readonly AuthorizerSettings[]> {
  const settings = decodeAuthorizationConfig(parseBody(bytes, "application/yaml").value);
  const { conditionProblem } = await import("../api/cel/review-cel.ts");
  for (const [index, one] of settings.entries()) {
    if (one.type !== "Webhook") continue;
    for (const [number, expression] of one.webhook.matchConditions.entries()) {
      const problem = conditionProblem(expression);
      if (problem === undefined) continue;
      const path = `authorizers[${index}].matchConditions[${number}].expression`;
      throw new Error(`${path}: Invalid value: ${JSON.stringify(expression)}: ${problem}`);
    }
  }
  return settings;
}

async function openLinks(
  settings: readonly AuthorizerSettings[],
  runtime: Runtime,
): Promise<readonly Link[]> {
  return await Promise.all(
    settings.map(async (one) =>
      one.type === "Webhook" ? openWebhookAuthorizer(one.webhook, runtime) : one.type,
    ),
  );
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
