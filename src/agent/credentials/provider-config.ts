/** Reads a kubelet's CredentialProviderConfig: which programs know passwords for which images. */
import { tryParseDurationNanos } from "../../lib/duration.ts";
import { parseBody } from "../../schema/parse.ts";

export interface CredentialProvider {
  /** Of the program in the folder of providers. */
  readonly name: string;
  readonly matchImages: readonly string[];
  /** For answers that do not say how long they hold. */
  readonly cacheMs: number;
  readonly apiVersion: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

interface RawProvider {
  readonly name?: string;
  readonly matchImages?: readonly string[];
  readonly defaultCacheDuration?: string;
  readonly apiVersion?: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly tokenAttributes?: unknown;
}

const group = "kubelet.config.k8s.io";
const configVersions = ["v1", "v1beta1", "v1alpha1"].map((version) => `${group}/${version}`);
const providerGroup = "credentialprovider.kubelet.k8s.io";
const apiVersions = ["v1", "v1beta1", "v1alpha1"].map((version) => `${providerGroup}/${version}`);

/** Throws with the field that cannot be used and why. */
export function parseProviders(text: string): readonly CredentialProvider[] {
  const { value } = parseBody(new TextEncoder().encode(text), "application/yaml");
  const { kind, apiVersion, providers } = value as {
    readonly kind?: string;
    readonly apiVersion?: string;
    readonly providers?: readonly RawProvider[];
  };
  if (kind !== "CredentialProviderConfig" || !configVersions.includes(apiVersion ?? "")) {
    const wanted = `CredentialProviderConfig of ${configVersions.join(", ")}`;
    throw new Error(`it must be a ${wanted}, not ${kind} of ${apiVersion}`);
  }
  if (providers === undefined || providers.length === 0) {
    throw new Error("providers: Required value: at least 1 item in plugins is required");
  }
  const names = providers.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`providers: Duplicate value: ${JSON.stringify(twice)}`);
  return providers.map((provider, at) => providerOf(provider, `providers[${at}]`));
}

function providerOf(raw: RawProvider, path: string): CredentialProvider {
  const { name = "", matchImages = [], apiVersion = "", defaultCacheDuration = "" } = raw;
  const refuse = (field: string, why: string) => new Error(`${path}.${field}: ${why}`);
  if (name === "") throw refuse("name", "Required value: provider name is required");
  if (/[\s/]/.test(name) || name === "." || name === "..") {
    throw refuse("name", `Invalid value: ${JSON.stringify(name)}: it must name a program`);
  }
  if (matchImages.length === 0) throw refuse("matchImages", "Required value");
  if (!apiVersions.includes(apiVersion)) {
    throw refuse("apiVersion", `Unsupported value: ${JSON.stringify(apiVersion)}`);
  }
  const nanos = tryParseDurationNanos(defaultCacheDuration);
  if (nanos === undefined || nanos < 0n) {
    throw refuse("defaultCacheDuration", "Required value: it must be 0 or more");
  }
  if (raw.tokenAttributes !== undefined) {
    throw refuse("tokenAttributes", "tokens of service accounts are not given to providers");
  }
  const env = Object.fromEntries((raw.env ?? []).map((one) => [one.name, one.value]));
  const cacheMs = Number(nanos / 1_000_000n);
  return { name, matchImages, cacheMs, apiVersion, args: raw.args ?? [], env };
}
