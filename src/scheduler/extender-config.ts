/** Reads the `extenders` of a KubeSchedulerConfiguration. */

import { tryParseDurationNanos } from "../lib/duration.ts";
import { labelKeyErrors } from "../lib/names.ts";
import { type Fields, fail, fieldsOf, listOf, numberOf, textOf } from "./config-fields.ts";
import type { ExtenderSettings } from "./extenders.ts";

/** What the document says; certificates that are files are still to be read. */
export interface DecodedExtender extends ExtenderSettings {
  readonly tlsFiles: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Managed resources that the scheduler's own filter leaves to the extender. */
  readonly ignoredResources: readonly string[];
}

const defaultTimeoutMs = 5000;

export function decodeExtenders(value: unknown): readonly DecodedExtender[] {
  const rows = listOf(value, "extenders").map((row, index) => {
    const path = `extenders[${index}]`;
    return decodeExtender(fieldsOf(row, path), path);
  });
  const binders = rows.filter(({ bindVerb }) => bindVerb !== undefined).length;
  if (binders > 1) {
    fail("extenders", `${binders} extenders implement bind: only one extender can implement bind`);
  }
  const names = rows.flatMap(({ managedResources }) => [...managedResources]);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    fail("extenders", `duplicate extender managed resource name ${JSON.stringify(twice)}`);
  }
  return rows;
}

function decodeExtender(fields: Fields, path: string): DecodedExtender {
  const verb = (name: string): string | undefined => {
    const given = fields[name] ?? "";
    return given === "" ? undefined : textOf(given, `${path}.${name}`);
  };
  const urlPrefix = textOf(fields.urlPrefix, `${path}.urlPrefix`).replace(/\/+$/, "");
  if (!URL.canParse(urlPrefix)) fail(`${path}.urlPrefix`, "must be a URL");
  const prioritizeVerb = verb("prioritizeVerb");
  const weight = numberOf(fields.weight, `${path}.weight`, 0);
  if (prioritizeVerb !== undefined && weight === 0) {
    fail(`${path}.weight`, "must have a positive weight applied to it");
  }
  const managed = listOf(fields.managedResources, `${path}.managedResources`).map((row, index) =>
    managedResource(row, `${path}.managedResources[${index}]`),
  );
  return {
    urlPrefix,
    filterVerb: verb("filterVerb"),
    prioritizeVerb,
    preemptVerb: verb("preemptVerb"),
    bindVerb: verb("bindVerb"),
    weight,
    timeoutMs: timeoutOf(fields.httpTimeout, `${path}.httpTimeout`),
    ...decodeTls(fields, path),
    nodeCacheCapable: fields.nodeCacheCapable === true,
    managedResources: new Set(managed.map(({ name }) => name)),
    ignoredResources: managed.filter(({ isIgnored }) => isIgnored).map(({ name }) => name),
    ignorable: fields.ignorable === true,
  };
}

function managedResource(row: unknown, path: string) {
  const { name: given, ignoredByScheduler } = fieldsOf(row, path);
  const name = textOf(given, `${path}.name`);
  const [problem] = labelKeyErrors(name);
  if (problem !== undefined) fail(`${path}.name`, problem);
  const isNative = !name.includes("/") || name.split("/")[0]?.endsWith("kubernetes.io");
  if (isNative || name.startsWith("requests.")) {
    fail(`${path}.name`, "is an invalid extended resource name");
  }
  return { name, isIgnored: ignoredByScheduler === true };
}

function timeoutOf(value: unknown, path: string): number {
  if (value === undefined || value === null) return defaultTimeoutMs;
  const nanos = tryParseDurationNanos(textOf(value, path));
  if (nanos === undefined || nanos < 0n) return fail(path, "must be a duration such as 5s");
  return nanos === 0n ? defaultTimeoutMs : Number(nanos) / 1e6;
}

function decodeTls(fields: Fields, path: string): Pick<DecodedExtender, "tls" | "tlsFiles"> {
  const given = fieldsOf(fields.tlsConfig, `${path}.tlsConfig`);
  const text = (name: string): string | undefined =>
    given[name] === undefined ? undefined : textOf(given[name], `${path}.tlsConfig.${name}`);
  const pem = (name: string): string | undefined => {
    const data = text(name);
    return data === undefined ? undefined : Buffer.from(data, "base64").toString();
  };
  const [ca, cert, key] = [pem("caData"), pem("certData"), pem("keyData")];
  const files = { ca: text("caFile"), cert: text("certFile"), key: text("keyFile") };
  const hasAuthority = ca !== undefined || files.ca !== undefined;
  // Upstream trusts anybody where HTTPS is asked for without saying whom to trust.
  const isLax = given.insecure === true || (fields.enableHTTPS === true && !hasAuthority);
  const serverName = text("serverName");
  return {
    tls: present({ ca, cert, key, serverName, ...(isLax ? { rejectUnauthorized: false } : {}) }),
    tlsFiles: present({
      ca: ca === undefined ? files.ca : undefined,
      cert: cert === undefined ? files.cert : undefined,
      key: key === undefined ? files.key : undefined,
    }),
  };
}

/** The members that are there. */
function present<T extends object>(value: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> };
}
