/** Whose tokens are believed beside our own, and what nobody in particular may ask for. */
import {
  type AnonymousSettings,
  type AuthenticationSettings,
  decodeAuthenticationConfig,
  type JwtSettings,
} from "../api/auth/authentication-config.ts";
import type { RequestHeaders } from "../api/auth/front-proxy.ts";
import { userOfClaims } from "../api/auth/jwt-authenticator.ts";
import type { OtherTokens } from "../api/auth/token-user.ts";
import { openTokenWebhook } from "../api/auth/webhook-tokens.ts";
import { JwtIssuer } from "../pki/jwt-issuer.ts";
import type { ServiceAccountTokens } from "../pki/service-account-tokens.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { parseBody } from "../schema/parse.ts";
import { followFile, Reloads } from "./follow-file.ts";
import type { AuthenticationOptions } from "./options.ts";
import { StartError } from "./start-error.ts";

export interface Authentication {
  readonly otherTokens: OtherTokens | undefined;
  readonly anonymous: () => AnonymousSettings;
  readonly requestHeaders: RequestHeaders;
  /** Of the file, when there is one. */
  readonly reloads?: Reloads;
}

export interface AuthenticationWorld {
  readonly runtime: Runtime;
  readonly scope: Scope;
  readonly tokens: Promise<ServiceAccountTokens>;
}

/** Probes need no credentials; for all else K3s wants some. */
const anonymousByDefault: AnonymousSettings = {
  isEnabled: true,
  paths: ["/healthz", "/livez", "/readyz"],
};

/** Throws StartError for files that cannot be used. */
export async function openAuthentication(
  options: AuthenticationOptions,
  world: AuthenticationWorld,
): Promise<Authentication> {
  const issuers = new Issuers(world);
  const reloads = new Reloads("authentication");
  let fromFile: AnonymousSettings | undefined;
  const { configFile, oidc, anonymous } = options;
  if (configFile !== undefined) {
    const load = async (bytes: Uint8Array): Promise<void> => {
      const settings = await readSettings(bytes, options, world);
      issuers.use(settings.jwt);
      fromFile = settings.anonymous;
    };
    const what = "the authentication configuration";
    await followFile(configFile, { ...world, reloads, what, load });
  }
  if (oidc !== undefined) issuers.use([await withAuthority(oidc, world.runtime)]);
  const webhook = await openWebhook(options, world);
  const byFlag = anonymous === undefined ? undefined : { isEnabled: anonymous, paths: undefined };
  const asked = [
    ...(configFile === undefined && oidc === undefined ? [] : [issuers.authenticate]),
    ...(webhook === undefined ? [] : [webhook]),
  ];
  return {
    otherTokens: asked.length === 0 ? undefined : firstOf(asked),
    anonymous: () => fromFile ?? byFlag ?? anonymousByDefault,
    requestHeaders: options.requestHeaders,
    ...(configFile !== undefined && { reloads }),
  };
}

async function readSettings(
  bytes: Uint8Array,
  { anonymous }: AuthenticationOptions,
  { tokens }: AuthenticationWorld,
): Promise<AuthenticationSettings> {
  const { expressionProblem } = await import("../api/cel/claims-cel.ts");
  const settings = decodeAuthenticationConfig(parseBody(bytes, "application/yaml").value, {
    ownIssuers: [(await tokens).issuer],
    check: expressionProblem,
  });
  if (settings.anonymous !== undefined && anonymous !== undefined) {
    throw new Error("--anonymous-auth cannot be set when the file configures anonymous");
  }
  return settings;
}

async function withAuthority(
  { settings, caFile }: NonNullable<AuthenticationOptions["oidc"]>,
  { files }: Runtime,
): Promise<JwtSettings> {
  if (caFile === undefined) return settings;
  const ca = await files.readText(caFile);
  if (ca === undefined) throw new StartError(`Cannot read ${caFile}: it does not exist`);
  return { ...settings, issuer: { ...settings.issuer, ca } };
}

async function openWebhook(
  { webhook }: AuthenticationOptions,
  { runtime, tokens }: AuthenticationWorld,
): Promise<OtherTokens | undefined> {
  if (webhook === undefined) return undefined;
  const audiences = async () => (await tokens).defaultAudiences;
  return openTokenWebhook(webhook, runtime, audiences).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`Cannot use ${webhook.configFile} for the token webhook: ${why}`);
  });
}

/** The first that knows the token; what went wrong counts only when none does. */
function firstOf(all: readonly OtherTokens[]): OtherTokens {
  return async (token, audiences) => {
    const failures: unknown[] = [];
    for (const one of all) {
      try {
        const found = await one(token, audiences);
        if (found !== undefined) return found;
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 0) return undefined;
    throw failures.length === 1 ? failures[0] : new AggregateError(failures);
  };
}

interface Known {
  readonly settings: JwtSettings;
  readonly issuer: JwtIssuer;
  /** Ends the search for its discovery document. */
  readonly stop: AbortController;
}

/** The issuers in force. Those that a new file names again go on as they are. */
class Issuers {
  #known = new Map<string, Known>();

  constructor(private readonly world: AuthenticationWorld) {}

  use(wanted: readonly JwtSettings[]): void {
    const next = new Map<string, Known>();
    for (const settings of wanted) {
      const key = JSON.stringify(settings);
      next.set(key, this.#known.get(key) ?? this.#begin(settings));
    }
    for (const [key, { stop }] of this.#known) if (!next.has(key)) stop.abort();
    this.#known = next;
  }

  #begin(settings: JwtSettings): Known {
    const { runtime, scope } = this.world;
    const issuer = new JwtIssuer({ ...settings.issuer, runtime });
    const stop = new AbortController();
    scope.task(`issuer ${settings.issuer.url}`, (signal) =>
      issuer.discover(AbortSignal.any([signal, stop.signal])),
    );
    return { settings, issuer, stop };
  }

  /** Tokens of an issuer say nothing of audiences of ours: they are good for all of them. */
  readonly authenticate: OtherTokens = async (token, audiences) => {
    const found = [...this.#known.values()].find(({ issuer }) => issuer.issued(token));
    if (found === undefined) return undefined;
    const own = (await this.world.tokens).defaultAudiences;
    const shared = own.filter((one) => audiences === undefined || audiences.includes(one));
    if (shared.length === 0) return undefined;
    const claims = await found.issuer.verify(token);
    return { user: await userOfClaims(found.settings, claims), audiences: shared };
  };
}
