/** What may be done with a resource, as operations of OpenAPI documents; names are upstream's. */
import { optionParameters, type Parameter, pathParameter, pretty } from "./openapi-parameters.ts";
import type { Json } from "./openapi-schemas.ts";
import type { TypeName } from "./type-table.ts";
import { typeOf } from "./types.ts";

export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface OpenApiSubresource extends Kind {
  readonly name: string;
  /** Kubernetes verbs: get, update, patch, create. */
  readonly verbs: readonly string[];
  /** Its answer is between the client and who is connected to. */
  readonly connects: boolean;
}

/** One served resource of one version. */
export interface OpenApiResource extends Kind {
  readonly plural: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  /** Who deletes an object gets it back, and not a Status. */
  readonly returnsDeleted: boolean;
  /** Undefined for custom resources. */
  readonly typeName: TypeName | undefined;
  /** `spec.versions[].schema.openAPIV3Schema` of a custom resource. */
  readonly schema?: Json;
  readonly subresources: readonly OpenApiSubresource[];
}

/** What a resource's operations refer to; what is asked for is defined in the document. */
export interface Refs {
  readonly object: Json;
  readonly list: Json;
  patch(): Json;
  meta(kind: "DeleteOptions" | "Status" | "WatchEvent"): Json;
}

export interface Operation {
  readonly method: "get" | "put" | "post" | "delete" | "options" | "head" | "patch";
  readonly tag: string;
  readonly id: string;
  readonly description: string;
  readonly parameters: readonly Parameter[];
  readonly body?: { readonly schema: Json; readonly required: boolean };
  readonly consumes: readonly string[];
  readonly produces: readonly string[];
  /** Codes of success with their words. */
  readonly answers: Readonly<Record<number, string>>;
  readonly answer: Json;
  readonly action?: string;
  readonly kind?: Kind;
}

export interface PathOperations {
  readonly path: string;
  readonly operations: readonly Operation[];
}

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
const plainTypes = ["application/json", "application/yaml"];
export const builtInTypes: readonly string[] = [
  ...plainTypes,
  "application/vnd.kubernetes.protobuf",
];
const watchTypes = [
  "application/json;stream=watch",
  "application/vnd.kubernetes.protobuf;stream=watch",
];
const customPatches = ["application/json-patch+json", "application/merge-patch+json"];
const applyPatch = "application/apply-patch+yaml";
/** Only for types that were compiled in; kubectl picks the kind of patch by this list. */
const strategicPatch = "application/strategic-merge-patch+json";
const text: Json = { type: "string" };
const ok = { 200: "OK" } as const;
const created = { ...ok, 201: "Created" } as const;
const accepted = { ...ok, 202: "Accepted" } as const;

const pascal = (name: string): string =>
  name.replace(/(?:^|[^A-Za-z0-9_])+(\w)/g, (_, letter: string) => letter.toUpperCase());
const camel = (name: string): string =>
  name.replace(/[^A-Za-z0-9_]+(\w)/g, (_, letter: string) => letter.toUpperCase());

/** `rbac.authorization.k8s.io` and `v1` as `RbacAuthorizationV1`, and as `rbacAuthorization_v1`. */
export function groupNames(
  group: string,
  version: string,
): { readonly inId: string; readonly tag: string } {
  const short = group === "" ? "core" : group.replace(/\.k8s\.io$/, "");
  const tag = version === "" ? camel(short) : `${camel(short)}_${version}`;
  return { inId: `${pascal(short)}${pascal(version)}`, tag };
}

/** "a Pod", "an Event"; words in the plural have no article. */
function withArticle(noun: string): string {
  if (noun.endsWith("s") && !noun.endsWith("ss")) return noun;
  return `${/^[aeiou]/i.test(noun) ? "an" : "a"} ${noun}`;
}

interface Action {
  readonly verb: string;
  readonly method: Operation["method"];
  /** First word of the operation's name, and what else stands before the kind. */
  readonly id: readonly [verb: string, more: string];
  readonly options: readonly string[];
}

const action = (
  verb: string,
  method: Operation["method"],
  id: string,
  options: readonly string[],
  more = "",
): Action => ({ verb, method, id: [id, more], options });

const actions: Readonly<Record<string, Action>> = {
  get: action("get", "get", "read", []),
  list: action("list", "get", "list", ["ListOptions"]),
  create: action("post", "post", "create", ["CreateOptions"]),
  update: action("put", "put", "replace", ["UpdateOptions"]),
  patch: action("patch", "patch", "patch", ["PatchOptions"]),
  delete: action("delete", "delete", "delete", ["DeleteOptions"]),
  deletecollection: action(
    "deletecollection",
    "delete",
    "delete",
    ["DeleteOptions", "ListOptions"],
    "Collection",
  ),
  watch: action("watch", "get", "watch", ["ListOptions"]),
  watchlist: action("watchlist", "get", "watch", ["ListOptions"]),
};

/** Builds the operations of one resource; option parameters are the same objects for all. */
export class OperationBuilder {
  readonly #options = new Map<string, readonly Parameter[]>();
  readonly #namespace = pathParameter(
    "namespace",
    "object name and auth scope, such as for teams and projects",
  );
  readonly #path = pathParameter("path", "path to the resource");

  /** Every path of `resource` with what may be done there. */
  pathsOf(
    resource: OpenApiResource,
    refs: Refs,
    refsOf: (subresource: OpenApiSubresource) => Refs,
  ): PathOperations[] {
    const { group, version, plural, namespaced, verbs } = resource;
    const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const scope = namespaced ? "/namespaces/{namespace}" : "";
    const [base, one] = [`${root}${scope}/${plural}`, `${root}${scope}/${plural}/{name}`];
    const main = new ResourceOperations(this, resource, refs);
    const at = (path: string, names: readonly string[]): PathOperations => ({
      path,
      operations: names.filter((name) => verbs.includes(name)).map((name) => main.of(path, name)),
    });
    const paths = [
      at(base, ["list", "create", "deletecollection"]),
      at(one, ["get", "update", "patch", "delete"]),
    ];
    if (namespaced) paths.push(at(`${root}/${plural}`, ["list"]));
    for (const part of resource.subresources) {
      paths.push(...this.#subresource(resource, part, `${one}/${part.name}`, refsOf(part)));
    }
    if (resource.typeName !== undefined && verbs.includes("watch")) {
      const watched = `${root}/watch${scope}/${plural}`;
      const everywhere = `${root}/watch/${plural}`;
      const add = (path: string, verb: string): void => {
        paths.push({ path, operations: [main.of(path, verb)] });
      };
      add(watched, "watchlist");
      add(`${watched}/{name}`, "watch");
      if (namespaced) add(everywhere, "watchlist");
    }
    return paths.filter(({ operations }) => operations.length > 0);
  }

  #subresource(
    resource: OpenApiResource,
    part: OpenApiSubresource,
    path: string,
    refs: Refs,
  ): PathOperations[] {
    const operations = new ResourceOperations(this, resource, refs, part);
    if (!part.connects) {
      return [{ path, operations: part.verbs.map((verb) => operations.of(path, verb)) }];
    }
    const isProxy = part.verbs.includes("delete");
    const paths = isProxy ? [path, `${path}/{path}`] : [path];
    const methods = isProxy
      ? (["get", "put", "post", "delete", "options", "head", "patch"] as const)
      : (["get", "post"] as const);
    return paths.map((at) => ({
      path: at,
      operations: methods.map((method) => operations.connect(at, method)),
    }));
  }

  /** Parameters of a type of `meta/v1` or, with its whole name, of any type. */
  options(type: string): readonly Parameter[] {
    const known = this.#options.get(type);
    if (known !== undefined) return known;
    const made = optionParameters(type.includes(".") ? type : `${meta}.${type}`);
    this.#options.set(type, made);
    return made;
  }

  pathParameters(path: string, kind: string): readonly Parameter[] {
    return [
      ...(path.includes("{namespace}") ? [this.#namespace] : []),
      ...(path.includes("{name}") ? [pathParameter("name", `name of the ${kind}`)] : []),
      ...(path.endsWith("{path}") ? [this.#path] : []),
    ];
  }
}

/** The operations of a resource or of one of its subresources. */
class ResourceOperations {
  readonly #builder: OperationBuilder;
  readonly #resource: OpenApiResource;
  readonly #refs: Refs;
  readonly #part: OpenApiSubresource | undefined;
  readonly #isCustom: boolean;
  /** The kind that is sent and answered. */
  readonly #kind: Kind;
  readonly #isLog: boolean;

  constructor(
    builder: OperationBuilder,
    resource: OpenApiResource,
    refs: Refs,
    part?: OpenApiSubresource,
  ) {
    this.#builder = builder;
    this.#resource = resource;
    this.#refs = refs;
    this.#part = part;
    this.#isCustom = resource.typeName === undefined;
    const { group, version, kind } = part === undefined || this.#isCustom ? resource : part;
    this.#kind = { group, version, kind };
    this.#isLog = resource.kind === "Pod" && resource.group === "" && part?.name === "log";
  }

  of(path: string, verb: string): Operation {
    const { verb: name, method, id, options } = actions[verb] as Action;
    const body = this.#body(verb);
    return {
      method,
      ...this.#named(path, id[0], `${id[1]}%`, verb === "watchlist" ? "List" : ""),
      description: this.#description(verb),
      parameters: [
        ...this.#builder.pathParameters(path, this.#kind.kind),
        pretty,
        ...this.#options(verb, options),
      ],
      ...(body !== undefined && { body }),
      consumes: this.#consumes(verb),
      produces: this.#produces(verb),
      answers: this.#answers(verb),
      answer: this.#answer(verb),
      action: name,
      kind: this.#kind,
    };
  }

  connect(path: string, method: Operation["method"]): Operation {
    const { kind, group, version } = this.#kind;
    const type = typeOf(group, version, kind);
    const withPath = path.endsWith("{path}") ? "WithPath" : "";
    const what = `${this.#part?.name} of ${this.#resource.kind}`;
    return {
      method,
      ...this.#named(path, "connect", `${pascal(method)}%`, withPath),
      description: `connect ${method.toUpperCase()} requests to ${what}`,
      parameters: [
        ...this.#builder.pathParameters(path, kind),
        ...(type === undefined ? [] : this.#builder.options(type)),
      ],
      consumes: ["*/*"],
      produces: ["*/*"],
      answers: ok,
      answer: text,
      action: "connect",
      kind: this.#kind,
    };
  }

  /** `%` stands for the kind with all that belongs to it. */
  #named(path: string, verb: string, name: string, suffix: string): Pick<Operation, "id" | "tag"> {
    const { group, version, kind, namespaced } = this.#resource;
    const { inId, tag } = groupNames(group, version);
    const inNamespace = path.includes("{namespace}") ? "Namespaced" : "";
    const everywhere = namespaced && inNamespace === "" ? "ForAllNamespaces" : "";
    const whole = `${inNamespace}${kind}${pascal(this.#part?.name ?? "")}`;
    return { id: `${verb}${inId}${name.replace("%", whole)}${suffix}${everywhere}`, tag };
  }

  #description(verb: string): string {
    const { kind, verbs } = this.#resource;
    const of = this.#part === undefined ? "" : `${this.#part.name} of `;
    const deprecated = "deprecated: use the 'watch' parameter with a list operation instead";
    switch (verb) {
      case "get":
        return `read ${of}the specified ${kind}`;
      case "update":
        return `replace ${of}the specified ${kind}`;
      case "patch":
        return `partially update ${of}the specified ${kind}`;
      case "create":
        return `create ${of}${withArticle(kind)}`;
      case "delete":
        return `delete ${withArticle(kind)}`;
      case "deletecollection":
        return `delete collection of ${kind}`;
      case "watch":
        return (
          `watch changes to an object of kind ${kind}. ${deprecated}, ` +
          "filtered to a single item with the 'fieldSelector' parameter."
        );
      case "watchlist":
        return `watch individual changes to a list of ${kind}. ${deprecated}.`;
      default: {
        const watches = verbs.includes("watch") && !this.#isCustom;
        return `list ${watches ? "or watch " : ""}objects of kind ${kind}`;
      }
    }
  }

  #options(verb: string, names: readonly string[]): readonly Parameter[] {
    if (this.#isLog) return this.#builder.options("io.k8s.api.core.v1.PodLogOptions");
    if (this.#isCustom && verb === "get") return this.#builder.options("GetOptions");
    if (verb !== "deletecollection") return names.flatMap((name) => this.#builder.options(name));
    if (this.#isCustom) return this.#builder.options("ListOptions");
    const all = names.flatMap((name) => this.#builder.options(name));
    return all.filter(({ name }) => name !== "watch" && name !== "allowWatchBookmarks");
  }

  #body(verb: string): Operation["body"] {
    const refs = this.#refs;
    if (verb === "create" || verb === "update") return { schema: refs.object, required: true };
    if (verb === "patch") return { schema: refs.patch(), required: true };
    const deletes = verb === "delete" || (verb === "deletecollection" && !this.#isCustom);
    return deletes ? { schema: refs.meta("DeleteOptions"), required: false } : undefined;
  }

  #consumes(verb: string): readonly string[] {
    if (verb !== "patch") return this.#isCustom ? plainTypes : ["*/*"];
    const kinds = this.#isCustom ? customPatches : [...customPatches, strategicPatch];
    return [...kinds, applyPatch];
  }

  #produces(verb: string): readonly string[] {
    if (this.#isCustom) return plainTypes;
    if (this.#isLog) return ["text/plain", ...builtInTypes];
    const watches = verb === "list" || verb === "watch" || verb === "watchlist";
    return watches ? [...builtInTypes, ...watchTypes] : builtInTypes;
  }

  #answers(verb: string): Readonly<Record<number, string>> {
    if (verb === "create") return { ...created, ...accepted };
    if (verb === "update" || (verb === "patch" && !this.#isCustom)) return created;
    return verb === "delete" ? accepted : ok;
  }

  #answer(verb: string): Json {
    const refs = this.#refs;
    if (this.#isLog) return text;
    if (verb === "list") return refs.list;
    if (verb === "watch" || verb === "watchlist") return refs.meta("WatchEvent");
    if (verb === "delete" && this.#resource.returnsDeleted) return refs.object;
    return verb.startsWith("delete") ? refs.meta("Status") : refs.object;
  }
}
