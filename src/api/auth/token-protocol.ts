/**
 * A bearer token as a WebSocket subprotocol: browsers cannot set other headers of such requests.
 * It is for this server alone, and never passed on.
 */
const prefix = "base64url.bearer.authorization.k8s.io.";

/** The token; "malformed" for what is offered in its name but cannot be one. */
export function protocolToken(headers: Headers): string | "malformed" | undefined {
  if (headers.get("upgrade")?.toLowerCase() !== "websocket") return undefined;
  const offered = protocolsOf(headers.get("sec-websocket-protocol") ?? "");
  const [token, ...more] = offered.filter((one) => one.startsWith(prefix));
  if (token === undefined) return undefined;
  const text = token.slice(prefix.length);
  // One that the server may answer with must stand beside it: the token is never echoed.
  const hasOther = offered.length > 1;
  if (more.length > 0 || !hasOther || !/^[\w-]+$/.test(text)) return "malformed";
  return Buffer.from(text, "base64url").toString();
}

/** The headers of a request that is passed on, changed to offer all protocols but the token. */
export function withoutTokenProtocol(headers: Headers): Headers {
  const offered = protocolsOf(headers.get("sec-websocket-protocol") ?? "");
  const kept = offered.filter((one) => !one.startsWith(prefix));
  if (kept.length === offered.length) return headers;
  headers.set("sec-websocket-protocol", kept.join(", "));
  return headers;
}

function protocolsOf(value: string): string[] {
  return value
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");
}
