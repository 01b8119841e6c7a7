/** OpenAPI v2 and v3 of what the registry serves; the documents are `schema`'s work. */
import { OpenApiDocuments } from "../schema/openapi.ts";
import { subresourcesOf } from "./discovery.ts";
import type { OpenApi } from "./http.ts";
import type { Registry } from "./registry.ts";

/** `version` is the server's own, for example v1.36.4+k3.1. */
export function createOpenApi(registry: Registry, version: string): OpenApi {
  return new OpenApiDocuments({
    version,
    generation: () => registry.generation,
    resources: () =>
      registry.all().map((row) => ({
        ...row,
        subresources: subresourcesOf(row).map(({ name, verbs, kind }) => ({
          name,
          verbs,
          ...kind,
        })),
      })),
  });
}
