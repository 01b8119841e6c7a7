import type { Registry } from "./registry.ts";

const others = [
  "/.well-known/openid-configuration",
  "/flagz",
  "/healthz",
  "/livez",
  "/metrics",
  "/metrics/slis",
  "/openapi/v2",
  "/openapi/v3",
  "/openid/v1/jwks",
  "/readyz",
  "/statusz",
  "/version",
] as const;

/** What `/` lists. */
export function listedPaths(registry: Registry): readonly string[] {
  const versions = new Set<string>();
  for (const { group, version } of registry.all()) {
    if (group === "") versions.add("/api").add(`/api/${version}`);
    else versions.add("/apis").add(`/apis/${group}`).add(`/apis/${group}/${version}`);
  }
  return [...versions, ...others].sort();
}
