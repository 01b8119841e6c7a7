import { expect, test } from "bun:test";
import { isProxyableAddress } from "./proxyable.ts";

test("isProxyableAddress() takes addresses that other machines have", () => {
  for (const address of ["10.42.0.5", "192.168.1.1", "8.8.8.8", "fd00::5", "::ffff:10.42.0.5"]) {
    expect([address, isProxyableAddress(address)]).toEqual([address, true]);
  }
});

test("isProxyableAddress() refuses loopback, link-local and all that is no single machine", () => {
  for (const address of [
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:ffff:169.254.169.254",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "::",
    "255.255.255.255",
    "224.0.0.1",
    "ff02::1",
    "2130706433",
    "0x7f.1",
    "127.1",
    "localhost",
    "kubernetes.default.svc",
    "",
  ]) {
    expect([address, isProxyableAddress(address)]).toEqual([address, false]);
  }
});
