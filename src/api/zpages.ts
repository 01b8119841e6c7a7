/** `/statusz` and `/flagz`: what this server is and how it was started (KEP-4827, KEP-4828). */
import { notAcceptable } from "./errors.ts";
import { encodeAs } from "./media.ts";
import { parseAccept } from "./negotiate.ts";

export interface ZPagesOptions {
  readonly startedAt: Date;
  readonly now: () => Date;
  /** The server's own, such as 1.36.4. */
  readonly binaryVersion: string;
  /** Major and minor of the Kubernetes that is served. */
  readonly emulationVersion: string;
  /** What the program was built with; upstream has Go's version there. */
  readonly builtWith: string;
  /** What `/` lists. */
  readonly paths: () => readonly string[];
  /** Flags and their values, without secrets. */
  readonly flags: Readonly<Record<string, string>>;
}

const component = "kube-apiserver";
const group = "config.k8s.io";
const versions = ["v1beta1", "v1alpha1"] as const;
type Version = (typeof versions)[number];
const formats = { "application/json": "json", "application/yaml": "yaml" } as const;
/** Folders of paths that tell nothing about how the server is. */
const notForDebugging: ReadonlySet<string> = new Set([
  "/.well-known",
  "/api",
  "/apis",
  "/openapi",
  "/openid",
]);

/** Undefined for any other path; throws NotAcceptable when the client wants another form. */
export function zPage(path: string, accept: string, options: ZPagesOptions): Response | undefined {
  switch (path) {
    case "/statusz":
      return pageOf("statusz", accept, statusText(options), () => statusObject(options));
    case "/flagz":
      return pageOf("flagz", accept, flagsText(options), () => ({ flags: options.flags }));
    default:
      return undefined;
  }
}

function pageOf(
  name: "statusz" | "flagz",
  accept: string,
  text: string,
  object: () => object,
): Response {
  const form = formOf(accept, name);
  const headers = new Headers();
  if (form === "text") {
    headers.set("content-type", "text/plain; charset=utf-8");
    const warning =
      "Warning: This endpoint is not meant to be machine parseable, has no formatting " +
      "compatibility guarantees and is for debugging purposes only.";
    return new Response(`\n${component} ${name}\n${warning}\n${text}`, { headers });
  }
  headers.set("content-type", form.type);
  if (form.version === "v1alpha1") {
    const old = `This version of the ${name} endpoint is deprecated. Please use a newer version.`;
    headers.set("warning", `299 - "${old}"`);
  }
  const whole = {
    kind: name === "statusz" ? "Statusz" : "Flagz",
    apiVersion: `${group}/${form.version}`,
    metadata: { name: component },
    ...object(),
  };
  headers.set("content-type", form.type);
  const body = encodeAs(formats[form.type], whole, false);
  return new Response(body as BodyInit, { headers });
}

type Form = "text" | { readonly type: keyof typeof formats; readonly version: Version };

/** Objects are told only to who names their kind and version. */
function formOf(accept: string, name: string): Form {
  if (accept.trim() === "") return "text";
  const kind = name === "statusz" ? "Statusz" : "Flagz";
  for (const { type, parameters } of parseAccept(accept)) {
    const isPlain = !parameters.has("as") && !parameters.has("g");
    if (isPlain && ["*/*", "text/*", "text/plain"].includes(type)) return "text";
    const version = versions.find((one) => one === parameters.get("v"));
    const isOurs = parameters.get("g") === group && parameters.get("as") === kind;
    if (isOurs && version !== undefined && type in formats) {
      return { type: type as keyof typeof formats, version };
    }
  }
  throw notAcceptable(["application/json", "application/yaml", "text/plain"]);
}

function uptimeSeconds({ startedAt, now }: ZPagesOptions): number {
  return Math.max(0, Math.floor((now().getTime() - startedAt.getTime()) / 1000));
}

function debuggingPaths({ paths }: ZPagesOptions): readonly string[] {
  const folders = paths().map((path) => `/${path.split("/")[1] ?? ""}`);
  const wanted = folders.filter((folder) => folder !== "/" && !notForDebugging.has(folder));
  return [...new Set(wanted)].sort();
}

function statusObject(options: ZPagesOptions): object {
  return {
    startTime: `${options.startedAt.toISOString().slice(0, 19)}Z`,
    uptimeSeconds: uptimeSeconds(options),
    goVersion: options.builtWith,
    binaryVersion: options.binaryVersion,
    emulationVersion: options.emulationVersion,
    paths: debuggingPaths(options),
  };
}

function statusText(options: ZPagesOptions): string {
  const up = uptimeSeconds(options);
  const two = (value: number): string => String(value).padStart(2, "0");
  const minutes = two(Math.floor(up / 60) % 60);
  const upText = `${Math.floor(up / 3600)} hr ${minutes} min ${two(up % 60)} sec`;
  return [
    "",
    `Started: ${options.startedAt.toUTCString()}`,
    `Up: ${upText}`,
    `Go version: ${options.builtWith}`,
    `Binary version: ${options.binaryVersion}`,
    `Emulation version: ${options.emulationVersion}`,
    `Paths: ${debuggingPaths(options).join(" ")}`,
    "",
  ].join("\n");
}

function flagsText({ flags }: ZPagesOptions): string {
  const names = Object.keys(flags).sort();
  return names.map((name) => `${name}=${flags[name]}\n`).join("");
}
