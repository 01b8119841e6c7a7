import { expect, test } from "bun:test";
import { protocolToken, withoutTokenProtocol } from "./token-protocol.ts";

const offer = (protocols: string, upgrade = "websocket") =>
  protocolToken(new Headers({ upgrade, "sec-websocket-protocol": protocols }));
const secret = Buffer.from("secret").toString("base64url");
const token = `base64url.bearer.authorization.k8s.io.${secret}`;

test("protocolToken() reads a token that stands beside a protocol to speak", () => {
  expect(offer(`v4.channel.k8s.io, ${token}`)).toBe("secret");
  expect(offer("v4.channel.k8s.io")).toBeUndefined();
});

test("protocolToken() takes none from a request that is no WebSocket", () => {
  expect(offer(`v4.channel.k8s.io, ${token}`, "SPDY/3.1")).toBeUndefined();
  expect(protocolToken(new Headers({ "sec-websocket-protocol": `a, ${token}` }))).toBeUndefined();
});

test("protocolToken() refuses two tokens, a token alone and what is no base64url", () => {
  expect(offer(token)).toBe("malformed");
  expect(offer(`a, ${token}, ${token}`)).toBe("malformed");
  expect(offer("a, base64url.bearer.authorization.k8s.io.a=b")).toBe("malformed");
  expect(offer("a, base64url.bearer.authorization.k8s.io.")).toBe("malformed");
});

test("withoutTokenProtocol() leaves only what may be passed on", () => {
  const name = "sec-websocket-protocol";
  const headers = new Headers({ [name]: `v4.channel.k8s.io,${token} , base64.binary.k8s.io` });
  expect(withoutTokenProtocol(headers).get(name)).toBe("v4.channel.k8s.io, base64.binary.k8s.io");
  expect(withoutTokenProtocol(new Headers()).has(name)).toBe(false);
});
