import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { ImageService, NamespaceMode, RuntimeService } from "../../gen/cri/api_pb.ts";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { Pod } from "./types.ts";
import { UserNamespaces } from "./user-namespaces.ts";

const rootDir = mkdtempSync(`${tmpdir()}/k3-userns-`);
const over = new AbortController();
afterAll(() => {
  over.abort();
  rmSync(rootDir, { recursive: true });
});

const transport = createRouterTransport(({ service }) => {
  service(RuntimeService, {
    status: () => ({
      runtimeHandlers: [
        { name: "", features: { userNamespaces: true } },
        { name: "old", features: {} },
      ],
    }),
  });
});
const cri = {
  runtime: createClient(RuntimeService, transport),
  images: createClient(ImageService, transport),
  close: () => {},
};

/** A machine with these users and what `getsubids` says of them. */
async function machine(passwd = "root:x:0:0::/:/bin/sh\n", subids = "", maxPods = 110) {
  const real = createRuntime({ logLevel: "error" });
  const readText = async (path: string): Promise<string | undefined> =>
    path === "/etc/passwd" ? passwd : await real.files.readText(path);
  const run = async () => ({ exitCode: 0, stdout: subids, stderr: "" });
  const files = { ...real.files, readText };
  const runtime = { ...real, files, exec: { ...real.exec, run } };
  const options = { runtime, host: realHost, cri, rootDir, maxPods, signal: over.signal };
  const spaces = new UserNamespaces(options);
  await spaces.load();
  return spaces;
}

function pod(uid: string, hostUsers?: boolean): Pod {
  const spec = { containers: [], ...(hostUsers === undefined ? {} : { hostUsers }) };
  return { apiVersion: "v1", kind: "Pod", metadata: { name: uid, uid }, spec };
}

const firstId = (spaces: UserNamespaces, one: Pod) => spaces.namespaceOf(one).uids?.[0]?.hostId;

test("pods get ids that no other has, and keep them over a restart", async () => {
  const before = await machine();
  const [a, b, c] = [pod("a", false), pod("b", false), pod("c", false)];
  for (const one of [a, b, a]) await before.allot(one, "");
  const ids = [{ hostId: 65_536, containerId: 0, length: 65_536 }];
  expect(before.namespaceOf(a)).toMatchObject({ mode: NamespaceMode.POD, uids: ids, gids: ids });
  expect(firstId(before, b)).toBe(131_072);
  const kept = JSON.parse(readFileSync(`${rootDir}/pods/a/userns`, "utf8"));
  expect(kept).toEqual({ uidMappings: ids, gidMappings: ids });
  rmSync(`${rootDir}/pods/a`, { recursive: true });
  const after = await machine();
  await after.allot(c, "");
  expect([b, c].map((one) => firstId(after, one))).toEqual([131_072, 65_536]);
  after.release("b");
  await after.allot(a, "");
  expect(firstId(after, a)).toBe(131_072);
});

test("other pods have the machine's users", async () => {
  const spaces = await machine();
  mkdirSync(`${rootDir}/pods/plain`, { recursive: true });
  for (const one of [pod("plain"), pod("plain", true)]) {
    await spaces.allot(one, "old");
    expect(spaces.namespaceOf(one)).toMatchObject({ mode: NamespaceMode.NODE, uids: [] });
  }
});

test("a handler that cannot do it is refused", async () => {
  const spaces = await machine();
  const why = 'RuntimeClass handler "old" does not support user namespaces';
  await expect(spaces.allot(pod("x", false), "old")).rejects.toThrow(why);
  expect(firstId(spaces, pod("x", false))).toBeUndefined();
});

test("the user kubelet says which ids may be given", async () => {
  const users = "kubelet:x:999:999::/:/bin/false\n";
  const spaces = await machine(users, "0: kubelet 655360 131072\n", 2);
  await spaces.allot(pod("y", false), "");
  expect(firstId(spaces, pod("y", false))).toBe(655_360);
  const bad = [
    ["0: kubelet 655360 131072\n1: kubelet 1 2\n", "it must contain only one line"],
    ["0: kubelet 1000 131072", "must be of 65536s"],
    ["0: kubelet 0 131072", "the first id of the user kubelet must be 65536"],
    ["0: kubelet 65536 65536", "not enough to support 2 pods"],
  ] as const;
  for (const [text, why] of bad) await expect(machine(users, text, 2)).rejects.toThrow(why);
});
