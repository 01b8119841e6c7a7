/** Which form of an object the client wants, from its Accept header. */
import { noRepresentation, notAcceptable } from "./errors.ts";
import { type Format, formats, mediaTypes } from "./media.ts";

export interface Wanted {
  readonly format: Format;
  /** The object itself, a Table with printer columns, or its metadata only. */
  readonly as: "object" | "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";
  /** Version of meta.k8s.io that a Table or metadata only is told in. */
  readonly metaVersion: "v1" | "v1beta1";
  /** Asked for by a parameter of the media type. */
  readonly pretty: boolean;
}

/** What can be served at a path. */
export interface Offer {
  /** False where objects have no protobuf form (custom resources). */
  readonly protobuf: boolean;
  readonly table: boolean;
  /** Where lists and watches are, besides single objects. */
  readonly collection: boolean;
  /** Custom resources have no routes of their own. */
  readonly custom: boolean;
  /** A watch: forms that cannot be framed are out. */
  readonly stream: boolean;
}

/** Parsed once per distinct header; clients send few. */
const known = new Map<string, Wanted>();
const knownMax = 400;

export interface Clause {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

const plain: Wanted = { format: "json", as: "object", metaVersion: "v1", pretty: false };

/** Throws NotAcceptable when no clause can be served. */
export function negotiate(accept: string, offer: Offer): Wanted {
  if (accept === "") return plain;
  const { protobuf, stream, table, collection, custom } = offer;
  const key = `${protobuf} ${stream} ${table} ${collection} ${custom} ${accept}`;
  const cached = known.get(key);
  if (cached !== undefined) return cached;
  const wanted = choose(accept, offer);
  if (known.size < knownMax) known.set(key, wanted);
  return wanted;
}

function choose(accept: string, offer: Offer): Wanted {
  if (accept.trim() === "") return plain;
  checkRoute(accept, offer);
  for (const clause of parseAccept(accept)) {
    const wanted = accepted(clause, offer);
    if (wanted !== undefined) return wanted;
  }
  const served = formats.filter((format) => {
    // Upstream names protobuf for custom resources too.
    if (format === "protobuf") return offer.protobuf || (offer.custom && !offer.stream);
    return format === "json" || !offer.stream;
  });
  throw notAcceptable(
    served.map((format) => `${mediaTypes[format]}${offer.stream ? ";stream=watch" : ""}`),
  );
}

/** Upstream looks for a route first, by the names of the types alone. */
function checkRoute(accept: string, { protobuf, collection, custom }: Offer): void {
  if (custom) return;
  const served = formats.filter((format) => format !== "protobuf" || protobuf);
  const types: string[] = served.map((format) => mediaTypes[format]);
  const streams = types.filter((type) => type !== mediaTypes.yaml);
  const all = collection ? [...types, ...streams.map((type) => `${type};stream=watch`)] : types;
  const asked = accept.split(",").map((part) => (part.split(";")[0] ?? "").trim());
  if (!asked.some((type) => type === "*/*" || types.includes(type))) throw noRepresentation(all);
}

/** What a clause asks for; undefined when that is not served. */
function accepted(clause: Clause, offer: Offer): Wanted | undefined {
  const { parameters } = clause;
  const format = formatOf(clause.type);
  if (format === undefined || (offer.stream && format === "yaml")) return undefined;
  if (parameters.has("stream") && parameters.get("stream") !== "watch") return undefined;
  const pretty = parameters.get("pretty") === "1";
  const as = parameters.get("as") ?? "";
  const metaVersion = parameters.get("v") ?? "";
  if (as === "" && metaVersion === "" && !parameters.has("g")) {
    const isServed = format !== "protobuf" || offer.protobuf;
    return isServed ? { ...plain, format, pretty } : undefined;
  }
  if (parameters.get("g") !== "meta.k8s.io") return undefined;
  if (metaVersion !== "v1" && metaVersion !== "v1beta1") return undefined;
  switch (as) {
    case "Table":
      // Cells of a Table have no protobuf form.
      return format === "protobuf" || !offer.table
        ? undefined
        : { format, as, metaVersion, pretty };
    case "PartialObjectMetadata":
    case "PartialObjectMetadataList":
      return { format, as, metaVersion, pretty };
  }
  return undefined;
}

/** The clauses of an Accept header, best first: by quality, wildcards after exact types. */
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
  return clauses
    .filter((clause) => clause.quality > 0)
    .sort((a, b) => b.quality - a.quality || wildness(a.type) - wildness(b.type));
}

function wildness(type: string): number {
  if (type === "*/*") return 2;
  return type.endsWith("/*") ? 1 : 0;
}

function formatOf(type: string): Format | undefined {
  if (type === "*/*" || type === "application/*") return "json";
  return formats.find((format) => mediaTypes[format] === type);
}

/** The form of a document that is served in all of them; JSON when the client wants none. */
export function formatOfDocument(accept: string): Format {
  for (const { type, parameters } of parseAccept(accept)) {
    const format = formatOf(type);
    if (format !== undefined && !parameters.has("as")) return format;
  }
  return "json";
}
