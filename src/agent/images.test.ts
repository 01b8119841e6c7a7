import { expect, test } from "bun:test";
import { createRuntime } from "../runtime/real.ts";
import type { CriClient } from "./cri/client.ts";
import { ImageManager } from "./images.ts";

const runtime = createRuntime({ logLevel: "error" });

/** A runtime without images that notes what it is asked to pull with. */
function pulling() {
  const users: (string | undefined)[] = [];
  const images = {
    imageStatus: async () => ({}),
    pullImage: async ({ auth }: { readonly auth?: { readonly username: string } }) => {
      users.push(auth?.username);
      return { imageRef: "sha256:1" };
    },
  };
  // Nothing else of the runtime is asked.
  return { cri: { images } as unknown as CriClient, users };
}

test("the secrets of the pod go before what the providers of the node know", async () => {
  const { cri, users } = pulling();
  const known = { username: "node", password: "p", identityToken: "" };
  const credentials = {
    credentials: async (image: string) => (image.startsWith("reg.example/") ? [known] : []),
  };
  const manager = new ImageManager(runtime, cri, { credentials });
  const json = JSON.stringify({ auths: { "reg.example": { username: "pod", password: "p" } } });
  const secret = { type: "kubernetes.io/dockerconfigjson", json };
  const ensure = async (image: string, secrets: readonly (typeof secret)[]): Promise<void> => {
    const wish = { podUid: "u", image, policy: "Always" as const, secrets, event: () => {} };
    await manager.ensure(wish, new AbortController().signal);
  };
  await ensure("reg.example/a:1", [secret]);
  await ensure("reg.example/b:1", []);
  await ensure("other.example/c:1", [secret]);
  expect(users).toEqual(["pod", "node", undefined]);
});
