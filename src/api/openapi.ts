/** OpenAPI v2 and v3 of what the registry serves; the documents are `schema`'s work. */
import { OpenApiDocuments } from "../schema/openapi.ts";
import type { Json } from "../schema/openapi-schemas.ts";
import { returnsObject } from "./delete.ts";
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
        typeName: row.custom === undefined ? row.typeName : undefined,
        ...(row.custom !== undefined && { schema: row.custom.schema as Json }),
        // A namespace comes back because it stays for a while, not because it is gone.
        returnsDeleted: returnsObject(row) && row.kind !== "Namespace",
        subresources: subresourcesOf(row).map(({ name, verbs, connects, kind }) => ({
          name,
          verbs,
          connects,
          ...kind,
        })),
      })),
  });
}
