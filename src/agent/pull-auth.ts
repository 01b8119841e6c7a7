/** Registry credentials out of image pull secrets, as CRI wants them. */

/** The data of a `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg` secret, decoded. */
export interface PullSecret {
  readonly type: string;
  readonly json: string;
}

/** Without the server's address: containerd would use it for a host of just that name only. */
export interface PullAuth {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
}

interface DockerAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly identitytoken?: string;
}

/** The host an image name is pulled from: names without one come from docker.io. */
export function registryOf(image: string): string {
  const first = image.split("/")[0] ?? "";
  const isHost = image.includes("/") && (/[.:]/.test(first) || first === "localhost");
  return isHost ? first : "docker.io";
}

/** The credentials whose registry (and longest path) fits the image, if any. */
export function pullAuth(image: string, secrets: readonly PullSecret[]): PullAuth | undefined {
  const registry = registryOf(image);
  const name =
    registry === "docker.io" && !image.startsWith("docker.io/") ? `docker.io/${image}` : image;
  const fitting = secrets
    .flatMap(entriesOf)
    .map(([server, auth]) => ({ prefix: normalizeServer(server), auth }))
    .filter(({ prefix }) => name === prefix || name.startsWith(`${prefix}/`))
    .toSorted((a, b) => b.prefix.length - a.prefix.length);
  const best = fitting[0];
  return best === undefined ? undefined : decodeAuth(best.auth);
}

function normalizeServer(server: string): string {
  const bare = server.replace(/^https?:\/\//, "").replace(/\/(v1|v2)?\/?$/, "");
  return bare === "index.docker.io" || bare === "registry-1.docker.io" ? "docker.io" : bare;
}

function entriesOf(secret: PullSecret): readonly (readonly [string, DockerAuth])[] {
  try {
    const parsed = JSON.parse(secret.json) as Record<string, unknown>;
    const auths = secret.type === "kubernetes.io/dockerconfigjson" ? parsed.auths : parsed;
    return Object.entries((auths ?? {}) as Record<string, DockerAuth>);
  } catch {
    // Upstream pulls without the broken secret and lets the registry decide.
    return [];
  }
}

function decodeAuth(auth: DockerAuth): PullAuth {
  const pair = auth.auth === undefined ? "" : atob(auth.auth);
  const colon = pair.indexOf(":");
  return {
    username: auth.username ?? (colon < 0 ? "" : pair.slice(0, colon)),
    password: auth.password ?? (colon < 0 ? "" : pair.slice(colon + 1)),
    identityToken: auth.identitytoken ?? "",
  };
}
