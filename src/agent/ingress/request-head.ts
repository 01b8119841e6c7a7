/**
 * Reads the head of a request. What two readers might understand differently is refused rather
 * than passed on, so that nothing can be smuggled past us to a backend.
 */
import {
  type Field,
  hasIllegalCharacters,
  headLimits,
  isToken,
  listOf,
  parseFields,
} from "./header-fields.ts";

export type Framing =
  | { readonly type: "none" }
  | { readonly type: "length"; readonly bytes: number }
  | { readonly type: "chunked" };

export interface RequestHead {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly minor: 0 | 1;
  /** As sent, with its port; the target's own when that names one. */
  readonly host: string;
  readonly fields: readonly Field[];
  /** The members of `Connection`. */
  readonly connection: readonly string[];
  readonly framing: Framing;
  readonly keepsAlive: boolean;
  /** The protocol to change to; "" for none. */
  readonly upgrade: string;
  readonly expectsContinue: boolean;
}

/** Why a head is not taken: the status to answer with. */
export interface Refusal {
  readonly status: 400 | 408 | 413 | 414 | 417 | 431 | 501 | 505;
}

export const noBody: Framing = { type: "none" };
const chunked: Framing = { type: "chunked" };
export function isHost(text: string): boolean {
  return hostForm.test(text);
}

/** What a target may consist of. */
export function isTarget(text: string): boolean {
  return text.length <= headLimits.targetBytesMax && targetForm.test(text) && !text.includes("#");
}

const hostForm = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?(:\d{0,5})?$/;
const targetForm = /^[!-~]+$/;

/** `head` without the empty line at its end. */
export function parseRequestHead(head: string): RequestHead | Refusal {
  if (hasIllegalCharacters(head)) return { status: 400 };
  const end = head.indexOf("\r\n");
  const line = end === -1 ? head : head.slice(0, end);
  const first = line.indexOf(" ");
  const last = line.lastIndexOf(" ");
  const method = line.slice(0, first);
  const version = line.slice(last + 1);
  const target = line.slice(first + 1, last);
  if (first <= 0 || last <= first || !isToken(method)) return { status: 400 };
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") {
    return { status: /^HTTP\/\d\.\d$/.test(version) ? 505 : 400 };
  }
  if (target.length > headLimits.targetBytesMax) return { status: 414 };
  if (!isTarget(target)) return { status: 400 };
  const fields = parseFields(head, end === -1 ? head.length : end + 2);
  if (fields === undefined) return { status: 400 };
  if (fields === "too-many") return { status: 431 };
  return withFields({ method, target, minor: version === "HTTP/1.1" ? 1 : 0, fields });
}

interface Parts {
  readonly method: string;
  readonly target: string;
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
}

function withFields(parts: Parts): RequestHead | Refusal {
  const { method, minor, fields } = parts;
  let host: string | undefined;
  let length: string | undefined;
  let coding: string | undefined;
  let upgrade = "";
  let expectsContinue = false;
  let connection: readonly string[] = none;
  for (const { lower, value } of fields) {
    switch (lower) {
      case "host":
        if (host !== undefined) return { status: 400 };
        host = value;
        break;
      case "content-length":
        if (length !== undefined) return { status: 400 };
        length = value;
        break;
      case "transfer-encoding":
        if (coding !== undefined) return { status: 400 };
        coding = value;
        break;
      case "connection":
        connection = connection.length === 0 ? listOf(value) : [...connection, ...listOf(value)];
        break;
      case "upgrade":
        upgrade = upgrade === "" ? value : `${upgrade}, ${value}`;
        break;
      case "expect":
        if (value.toLowerCase() !== "100-continue") return { status: 417 };
        expectsContinue = minor === 1;
        break;
    }
  }
  const framing = framingOf(length, coding, minor);
  if ("status" in framing) return framing;
  const place = placeOf(parts, host);
  if ("status" in place) return place;
  const keepsAlive =
    minor === 1 ? !connection.includes("close") : connection.includes("keep-alive");
  const changes = minor === 1 && upgrade !== "" && connection.includes("upgrade");
  return {
    method,
    minor,
    fields,
    connection,
    framing,
    keepsAlive,
    expectsContinue,
    ...place,
    upgrade: changes ? upgrade : "",
  };
}

const none: readonly string[] = [];

function framingOf(
  length: string | undefined,
  coding: string | undefined,
  minor: 0 | 1,
): Framing | Refusal {
  if (coding !== undefined) {
    // Both together, or codings of HTTP/1.0, are how requests are smuggled.
    if (length !== undefined || minor === 0) return { status: 400 };
    return coding.toLowerCase() === "chunked" ? chunked : { status: 501 };
  }
  if (length === undefined) return noBody;
  if (!/^\d{1,15}$/.test(length)) return { status: 400 };
  return length === "0" ? noBody : { type: "length", bytes: Number(length) };
}

/** A target that names a host of its own wins over the field, as RFC 9112 has it. */
function placeOf(
  { method, target, minor }: Parts,
  host: string | undefined,
): { readonly host: string; readonly target: string } | Refusal {
  if (host === undefined && minor === 1) return { status: 400 };
  if (host !== undefined && !isHost(host)) return { status: 400 };
  if (target.startsWith("/")) return { host: host ?? "", target };
  if (method === "OPTIONS" && target === "*") return { host: host ?? "", target: "/" };
  const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(target);
  const [, authority = "", rest = ""] = absolute ?? [];
  // Tunnels (CONNECT) are for forward proxies.
  if (authority === "" || !isHost(authority)) return { status: 400 };
  return { host: authority, target: rest.startsWith("/") ? rest : `/${rest}` };
}
