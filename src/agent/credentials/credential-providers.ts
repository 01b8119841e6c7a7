/**
 * Asks the programs that know passwords of registries, one for each kind of registry, and keeps
 * what they say for as long as they say.
 */
import { tryParseDurationNanos } from "../../lib/duration.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type PullAuth, registryOf } from "../pull-auth.ts";
import { bestMatch, matchesImage } from "./image-match.ts";
import { type CredentialProvider, parseProviders } from "./provider-config.ts";

export interface CredentialProviderFiles {
  readonly config: string;
  readonly binDir: string;
}

interface Credentials {
  readonly untilMs: number;
  readonly auth: Readonly<Record<string, { readonly username: string; readonly password: string }>>;
}

interface Response {
  readonly kind?: string;
  readonly cacheKeyType?: string;
  readonly cacheDuration?: string;
  readonly auth?: Credentials["auth"];
}

const limits = { runMs: 60_000 } as const;

export class CredentialProviders {
  readonly #runtime: Runtime;
  readonly #binDir: string;
  readonly #providers: readonly CredentialProvider[];
  readonly #known = new Map<string, Credentials>();
  readonly #asked = new Map<string, Promise<Credentials>>();

  constructor(runtime: Runtime, binDir: string, providers: readonly CredentialProvider[]) {
    this.#runtime = runtime;
    this.#binDir = binDir;
    this.#providers = providers;
  }

  /** What the providers know for the image, in their order; a failure is logged and passed over. */
  async credentials(image: string): Promise<readonly PullAuth[]> {
    const name = fullName(image);
    const fitting = this.#providers.filter(({ matchImages }) =>
      matchImages.some((pattern) => matchesImage(pattern, name)),
    );
    const found = fitting.map(async (provider) => {
      try {
        const { auth } = await this.#of(provider, name);
        const key = bestMatch(Object.keys(auth), name);
        const entry = key === undefined ? undefined : auth[key];
        if (entry === undefined) return undefined;
        const { username, password } = entry;
        return { username, password, identityToken: "" };
      } catch (error) {
        const provides = provider.name;
        this.#runtime.log.warn("Cannot ask a credential provider", { provides, image, error });
        return undefined;
      }
    });
    return (await Promise.all(found)).filter((one) => one !== undefined);
  }

  async #of(provider: CredentialProvider, image: string): Promise<Credentials> {
    const nowMs = this.#runtime.clock.monotonicMs();
    for (const key of keysOf(provider, image).values()) {
      const known = this.#known.get(key);
      if (known !== undefined && known.untilMs > nowMs) return known;
      this.#known.delete(key);
    }
    // One question at a time for one image.
    const key = `${provider.name} ${image}`;
    const asked = this.#asked.get(key) ?? this.#ask(provider, image);
    this.#asked.set(key, asked);
    try {
      return await asked;
    } finally {
      this.#asked.delete(key);
    }
  }

  async #ask(provider: CredentialProvider, image: string): Promise<Credentials> {
    const { exec, clock } = this.#runtime;
    const { name, apiVersion, args, env } = provider;
    const request = { kind: "CredentialProviderRequest", apiVersion, image };
    const { exitCode, stdout, stderr } = await exec.run(
      {
        argv: [`${this.#binDir}/${name}`, ...args],
        env: { ...ownEnvironment(), ...env },
        stdin: JSON.stringify(request),
      },
      AbortSignal.timeout(limits.runMs),
    );
    if (exitCode !== 0) throw new Error(`exit status ${exitCode}: ${stderr.trim()}`);
    const answer = JSON.parse(stdout) as Response;
    if (answer.kind !== "CredentialProviderResponse") {
      throw new Error(`it answered a ${answer.kind}`);
    }
    const key = keysOf(provider, image).get(answer.cacheKeyType ?? "");
    if (key === undefined) {
      const type = answer.cacheKeyType ?? "";
      throw new Error(`credential provider plugin did not return a valid cacheKeyType: ${type}`);
    }
    const said = answer.cacheDuration;
    const nanos = said === undefined ? undefined : tryParseDurationNanos(said);
    const cacheMs = nanos === undefined ? provider.cacheMs : Number(nanos / 1_000_000n);
    const found = { untilMs: clock.monotonicMs() + cacheMs, auth: answer.auth ?? {} };
    if (cacheMs > 0) this.#known.set(key, found);
    return found;
  }
}

/** Providers find their own programs and settings as any child of ours would. */
function ownEnvironment(): Readonly<Record<string, string>> {
  const entries = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return Object.fromEntries(entries);
}

/** What an answer may hold for: this image, its registry, every image. */
function keysOf({ name }: CredentialProvider, image: string): ReadonlyMap<string, string> {
  return new Map([
    ["Image", `${name} image ${image}`],
    ["Registry", `${name} registry ${image.split("/")[0]}`],
    ["Global", `${name} global`],
  ]);
}

/** Patterns are about images with the host of their registry. */
function fullName(image: string): string {
  const registry = registryOf(image);
  return image.startsWith(`${registry}/`) ? image : `${registry}/${image}`;
}

/** Undefined where the configuration is not there; throws where it cannot be used. */
export async function readProviders(
  runtime: Runtime,
  { config, binDir }: CredentialProviderFiles,
): Promise<CredentialProviders | undefined> {
  const text = await runtime.files.readText(config);
  if (text === undefined) return undefined;
  try {
    return new CredentialProviders(runtime, binDir, parseProviders(text));
  } catch (error) {
    const message = error instanceof Error ? error.message : `${error}`;
    throw new Error(`Cannot use the credential providers of ${config}: ${message}`);
  }
}
