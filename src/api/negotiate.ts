/** Which form of an object the client wants, from its Accept header. */
import { notAcceptable } from "./errors.ts";

export interface Wanted {
  readonly format: "json" | "yaml";
  /** The object itself, a Table with printer columns, or its metadata only. */
  readonly as: "object" | "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";
}

/** Parsed once per distinct header; clients send few. */
const known = new Map<string, Wanted>();
const knownMax = 200;

interface Clause {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

/** Throws NotAcceptable when no clause can be served. */
export function negotiate(accept: string): Wanted {
  const cached = known.get(accept);
  if (cached !== undefined) return cached;
  const wanted = choose(accept);
  if (known.size < knownMax) known.set(accept, wanted);
  return wanted;
}

function choose(accept: string): Wanted {
  if (accept.trim() === "") return { format: "json", as: "object" };
  for (const clause of parseAccept(accept)) {
    const format = formatOf(clause.type);
    if (format === undefined) continue;
    const as = clause.parameters.get("as") ?? "";
    if (as === "") {
      if (clause.parameters.has("g") || clause.parameters.has("v")) continue;
      return { format, as: "object" };
    }
    if (as !== "Table" && as !== "PartialObjectMetadata" && as !== "PartialObjectMetadataList") {
      continue;
    }
    if (clause.parameters.get("g") !== "meta.k8s.io" || clause.parameters.get("v") !== "v1")
      continue;
    return { format, as };
  }
  throw notAcceptable(["application/json", "application/yaml"]);
}

/** The clauses of an Accept header, best first. */
export function parseAccept(accept: string): readonly Clause[] {
  const clauses = accept.split(",").map((part): Clause => {
    const [type = "", ...rest] = part.split(";").map((text) => text.trim());
    const parameters = new Map<string, string>();
    for (const parameter of rest) {
      const equals = parameter.indexOf("=");
      if (equals > 0) parameters.set(parameter.slice(0, equals), parameter.slice(equals + 1));
    }
    const quality = Number(parameters.get("q") ?? "1");
    return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 0 : quality };
  });
  return clauses.filter((clause) => clause.quality > 0).sort((a, b) => b.quality - a.quality);
}

function formatOf(type: string): Wanted["format"] | undefined {
  if (type === "application/json" || type === "*/*" || type === "application/*") return "json";
  return type === "application/yaml" ? "yaml" : undefined;
}
