/** Debian's docker-registry on loopback, with TLS and users, and images pushed into it. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateEcKey, issueCertificate, keyToPem } from "../../src/pki/x509.ts";

/** Unpacked by `scripts/test`; nothing of it is installed. */
const program = join(import.meta.dir, "../../build/docker-registry/usr/bin/docker-registry");

export function reasonForNoRegistry(): string | undefined {
  return existsSync(program) ? undefined : `needs ${program}: scripts/test fetches it`;
}

interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
}

export class DockerRegistry implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "k3-registry-"));
  readonly caFile = join(this.dir, "ca.pem");
  readonly #child: Bun.Subprocess;

  private constructor(
    readonly port: number,
    readonly user: string,
    readonly password: string,
    key: KeyObject,
  ) {
    const log = Bun.file(join(this.dir, "registry.log"));
    writeFileSync(join(this.dir, "config.yml"), this.#config(key));
    const argv = [program, "serve", join(this.dir, "config.yml")];
    this.#child = Bun.spawn(argv, { stdout: log, stderr: log });
  }

  static async start(port: number, user: string, password: string): Promise<DockerRegistry> {
    const registry = new DockerRegistry(port, user, password, await generateEcKey());
    for (let tries = 0; tries < 200; tries += 1) {
      const answers = await registry.#fetch("GET", "/v2/").catch(() => undefined);
      if (answers?.status === 200) return registry;
      await Bun.sleep(50);
    }
    const log = readFileSync(join(registry.dir, "registry.log"), "utf8");
    await registry[Symbol.asyncDispose]();
    throw new Error(`docker-registry does not start:\n${log}`);
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Pushes the only image of an archive (an OCI layout) as `name:tag`. */
  async push(archive: string, name: string, tag: string): Promise<void> {
    const layout = join(this.dir, "layout");
    mkdirSync(layout, { recursive: true });
    await Bun.spawn(["tar", "-xf", archive, "-C", layout]).exited;
    const blob = (digest: string): Uint8Array =>
      readFileSync(join(layout, "blobs", digest.replace(":", "/")));
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
      readonly manifests: readonly Descriptor[];
    };
    const [image] = index.manifests;
    if (image === undefined) throw new Error(`${archive} holds no image`);
    const manifest = JSON.parse(new TextDecoder().decode(blob(image.digest))) as {
      readonly config: Descriptor;
      readonly layers: readonly Descriptor[];
    };
    for (const { digest } of [manifest.config, ...manifest.layers]) {
      const begun = await this.#fetch("POST", `/v2/${name}/blobs/uploads/`);
      const place = new URL(begun.headers.get("location") ?? "", `https://${this.host}`);
      place.searchParams.set("digest", digest);
      const type = "application/octet-stream";
      await this.#put(`${place.pathname}${place.search}`, type, blob(digest));
    }
    const path = `/v2/${name}/manifests/${tag}`;
    await this.#put(path, image.mediaType, blob(image.digest));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #put(path: string, type: string, body: Uint8Array): Promise<void> {
    const response = await this.#fetch("PUT", path, body, type);
    if (response.status !== 201) throw new Error(`${path}: ${await response.text()}`);
  }

  #fetch(method: string, path: string, body?: Uint8Array, type = ""): Promise<Response> {
    const authorization = `Basic ${btoa(`${this.user}:${this.password}`)}`;
    return fetch(`https://${this.host}${path}`, {
      method,
      headers: { authorization, ...(type === "" ? {} : { "content-type": type }) },
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
      tls: { ca: readFileSync(this.caFile, "utf8") },
    });
  }

  #config(key: KeyObject): string {
    const now = Date.now();
    const cert = issueCertificate(
      {
        subject: { commonName: "registry", organizations: [] },
        usage: "server",
        sans: { dnsNames: [], ips: ["127.0.0.1"] },
        publicKey: createPublicKey(key),
        notBefore: new Date(now - 60_000),
        notAfter: new Date(now + 3_600_000),
      },
      key,
    );
    writeFileSync(this.caFile, cert);
    writeFileSync(join(this.dir, "key.pem"), keyToPem(key));
    const hash = Bun.password.hashSync(this.password, { algorithm: "bcrypt", cost: 4 });
    writeFileSync(join(this.dir, "users"), `${this.user}:${hash}\n`);
    return JSON.stringify({
      version: 0.1,
      log: { level: "info" },
      storage: { filesystem: { rootdirectory: join(this.dir, "data") } },
      http: {
        addr: this.host,
        secret: "of no use elsewhere",
        tls: { certificate: this.caFile, key: join(this.dir, "key.pem") },
      },
      auth: { htpasswd: { realm: "test", path: join(this.dir, "users") } },
    });
  }
}
