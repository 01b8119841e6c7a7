/** Where a paged list goes on: base64url of `{"v":"meta.k8s.io/v1","rv":N,"start":"key\0"}`. */
import { ApiError } from "../lib/api-error.ts";
import { jsonSyntaxError } from "../schema/json-syntax.ts";
import type { Revision } from "../store/store.ts";

const version = "meta.k8s.io/v1";

export interface ContinueToken {
  /** -1 is the newest. */
  readonly revision: Revision;
  readonly start: string;
}

export function encodeContinue(revision: Revision, start: string): string {
  const bytes = new TextEncoder().encode(JSON.stringify({ v: version, rv: revision, start }));
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Throws BadRequest for tokens that no server made. */
export function decodeContinue(text: string): ContinueToken {
  const token = parse(text);
  if (token.v !== version) {
    throw bad(`server does not recognize this encoded version ${token.v ?? ""}`);
  }
  if (typeof token.rv !== "number" || !Number.isSafeInteger(token.rv) || token.rv === 0) {
    throw bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  }
  if (typeof token.start !== "string" || token.start === "") {
    throw bad("encoded start key empty (version meta.k8s.io/v1)");
  }
  // A cleaned path must be the same path: nobody leaves the resource by a token.
  if (/(^|\/)(\.\.?)?(\/|$)/.test(token.start.replace(/\0$/, "")) || token.start.startsWith("/")) {
    throw bad(`invalid start key: ${token.start}`);
  }
  return { revision: token.rv < 0 ? -1 : token.rv, start: token.start };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  const body = text.replace(/=+$/, "");
  const misfit = /[^\w-]/.exec(body)?.index ?? (body.length % 4 === 1 ? body.length - 1 : -1);
  if (misfit >= 0) throw bad(`illegal base64 data at input byte ${misfit}`);
  const json = Buffer.from(body, "base64url").toString();
  const why = jsonSyntaxError(json);
  if (why !== undefined) throw bad(why);
  const value: unknown = JSON.parse(json);
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  const type = `json: cannot unmarshal ${typeof value} into Go value of type`;
  throw bad(`${type} storage.continueToken`);
}

function bad(why: string): ApiError {
  const message = `invalid continue token: continue key is not valid: ${why}`;
  return new ApiError("BadRequest", message);
}
