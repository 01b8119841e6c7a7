/** Paths of OpenAPI documents that are about the server and not about one kind. */
import {
  builtInTypes,
  groupNames,
  type Operation,
  type PathOperations,
} from "./openapi-operations.ts";
import type { Json, OpenApiVersion } from "./openapi-schemas.ts";

interface Told {
  readonly tag: string;
  readonly id: string;
  readonly description: string;
  readonly answer: Json;
  readonly consumes?: readonly string[];
  readonly produces?: readonly string[];
}

function telling(path: string, { tag, id, description, answer, ...types }: Told): PathOperations {
  const operation: Operation = {
    method: "get",
    tag,
    id,
    description,
    parameters: [],
    consumes: types.consumes ?? builtInTypes,
    produces: types.produces ?? builtInTypes,
    answers: { 200: "OK" },
    answer,
  };
  return { path, operations: [operation] };
}

/** The resources of a group's version. */
export function versionPath(group: string, version: string, resourceList: Json): PathOperations {
  const { inId, tag } = groupNames(group, version);
  const path = group === "" ? `/api/${version}/` : `/apis/${group}/${version}/`;
  const description = "get available resources";
  return telling(path, { tag, id: `get${inId}APIResources`, description, answer: resourceList });
}

/** The versions of a group; of the core, which is none, those of `/api`. */
export function groupPath(group: string, answer: Json): PathOperations {
  const { inId, tag } = groupNames(group, "");
  if (group !== "") {
    const description = "get information of a group";
    return telling(`/apis/${group}/`, { tag, id: `get${inId}APIGroup`, description, answer });
  }
  const description = "get available API versions";
  return telling("/api/", { tag, id: `get${inId}APIVersions`, description, answer });
}

export function groupsPath(answer: Json): PathOperations {
  const description = "get available API versions";
  return telling("/apis/", { tag: "apis", id: "getAPIVersions", description, answer });
}

export function serverVersionPath(answer: Json): PathOperations {
  return telling("/version/", {
    tag: "version",
    id: "getCodeVersion",
    description: "get the version information for this server",
    answer,
    consumes: ["application/json"],
    produces: ["application/json"],
  });
}

/** Name of what `/version` answers, which is no type of the API. */
export const versionInfo = "io.k8s.apimachinery.pkg.version.Info";

export function versionInfoSchema(openApiVersion: OpenApiVersion): Json {
  const required = ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate"];
  required.push("goVersion", "compiler", "platform");
  const optional = ["emulationMajor", "emulationMinor"];
  optional.push("minCompatibilityMajor", "minCompatibilityMinor");
  const empty = openApiVersion === "v2" ? {} : { default: "" };
  const properties = [
    ...required.map((name) => [name, { type: "string", ...empty }] as const),
    ...optional.map((name) => [name, { type: "string" }] as const),
  ];
  return {
    description: "Info says which version of the server this is.",
    type: "object",
    required,
    properties: Object.fromEntries(properties),
  };
}

const keys = "contains public token verification keys";

/** Where others find the keys of service accounts' tokens. */
export const openIdPaths: Readonly<Record<string, PathOperations>> = {
  ".well-known/openid-configuration": telling("/.well-known/openid-configuration/", {
    tag: "WellKnown",
    id: "getServiceAccountIssuerOpenIDConfiguration",
    description:
      "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
    answer: { type: "string" },
    consumes: [],
    produces: ["application/json"],
  }),
  "openid/v1/jwks": telling("/openid/v1/jwks/", {
    tag: "openid",
    id: "getServiceAccountIssuerOpenIDKeyset",
    description: `get service account issuer OpenID JSON Web Key Set (${keys})`,
    answer: { type: "string" },
    consumes: [],
    produces: ["application/jwk-set+json"],
  }),
};
