/** A registry of the test images for this machine: what pods with pull policy Always ask. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "../../scripts/apt.ts";
import { OUT } from "./suite.ts";

interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Registry extends Disposable {
  readonly url: string;
  /** Hosts whose images are here, as they stand in front of the images' names. */
  readonly hosts: readonly string[];
}

/** Serves the images of an archive that `buildImages` made, read-only, on one of our addresses. */
export async function serveImages(archive: string, hostname: string): Promise<Registry> {
  const dir = join(OUT, "registry");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  await mustRun(["tar", "-xf", archive, "-C", dir], "Remove the archive, it is made again.");
  const index = JSON.parse(readFileSync(join(dir, "index.json"), "utf8")) as {
    readonly manifests: readonly Descriptor[];
  };
  const named = new Map(
    index.manifests.map((one) => [one.annotations["io.containerd.image.name"] ?? "", one]),
  );
  const server = Bun.serve({
    hostname,
    port: 0,
    fetch: ({ url }) => answer(new URL(url).pathname, dir, named),
  });
  return {
    url: `http://${hostname}:${server.port}`,
    hosts: [...new Set([...named.keys()].map((name) => name.split("/")[0] ?? ""))],
    [Symbol.dispose]: () => void server.stop(true),
  };
}

function answer(path: string, dir: string, named: ReadonlyMap<string, Descriptor>): Response {
  if (path === "/v2/") return new Response("{}");
  const [, name = "", kind, reference = ""] =
    /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
  const tagged = [...named].find(([full]) => full.endsWith(`/${name}:${reference}`))?.[1];
  const digest = tagged?.digest ?? reference;
  const file = join(dir, "blobs/sha256", digest.replace(/^sha256:/, ""));
  if (!/^sha256:[0-9a-f]{64}$/.test(digest) || !existsSync(file)) {
    const errors = [{ code: kind === "blobs" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN" }];
    return Response.json({ errors }, { status: 404 });
  }
  const manifest = [...named.values()].find((one) => one.digest === digest);
  return new Response(Bun.file(file), {
    headers: {
      "content-type": manifest?.mediaType ?? "application/octet-stream",
      "docker-content-digest": digest,
    },
  });
}
