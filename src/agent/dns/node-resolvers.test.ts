import { expect, test } from "bun:test";
import * as dns from "dns-packet";
import { createRuntime } from "../../runtime/real.ts";
import { type NodeResolvers, nodeResolvers } from "./node-resolvers.ts";

const real = createRuntime({ logLevel: "error" });
const { signal } = new AbortController();

/** Resolvers of a file with `text`; probes go to `onProbe`, nothing leaves the machine. */
function resolversOf(text: string, onProbe: (name: string) => void): NodeResolvers {
  const errors = { ...real.log, error: (message: string) => void told.push(message) };
  const runtime = {
    ...real,
    log: errors,
    files: { ...real.files, readText: async () => text },
    net: {
      ...real.net,
      udp: async () => ({
        port: 1,
        send: (data: Uint8Array) => onProbe(dns.decode(data).questions[0]?.name ?? ""),
        close: () => {},
      }),
    },
  };
  const options = { paths: ["/etc/resolv.conf"], ownAddresses: ["10.43.0.10"], signal };
  return nodeResolvers(runtime, options);
}
const told: string[] = [];

test("a server from which our own question comes back is left out", async () => {
  const probed: string[] = [];
  const resolvers = resolversOf("nameserver 192.0.2.1\n", (name) => void probed.push(name));
  expect(await resolvers.servers()).toEqual([{ host: "192.0.2.1", port: 53 }]);
  while (probed.length === 0) await Bun.sleep(1);
  expect(resolvers.isOwnProbe("example.com")).toBe(false);
  expect(resolvers.isOwnProbe(probed[0] ?? "")).toBe(true);
  expect(await resolvers.servers()).toEqual([]);
  expect(told).toHaveLength(1);
});

test("our own address is nobody to ask; without any server there is a last resort", async () => {
  const resolvers = resolversOf("nameserver 10.43.0.10\nnameserver 127.0.0.1\n", () => {});
  expect(await resolvers.servers()).toEqual([{ host: "8.8.8.8", port: 53 }]);
});
