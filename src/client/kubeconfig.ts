/** Reads a kubeconfig: where the server is and who we are, as its current context says. */
import type { Files } from "../runtime/runtime.ts";
import { parseBody } from "../schema/parse.ts";

export interface Kubeconfig {
  readonly server: string;
  /** PEM texts. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly basic?: { readonly username: string; readonly password: string };
  /** By which name the server's certificate is checked, when not by its address. */
  readonly serverName?: string;
  readonly skipsVerify: boolean;
  readonly namespace: string;
}

interface Document {
  readonly "current-context"?: string;
  readonly clusters?: readonly { readonly name?: string; readonly cluster?: ClusterEntry }[];
  readonly users?: readonly { readonly name?: string; readonly user?: UserEntry }[];
  readonly contexts?: readonly { readonly name?: string; readonly context?: ContextEntry }[];
}
interface ClusterEntry {
  readonly server?: string;
  readonly "certificate-authority"?: string;
  readonly "certificate-authority-data"?: string;
  readonly "tls-server-name"?: string;
  readonly "insecure-skip-tls-verify"?: boolean;
}
interface UserEntry {
  readonly "client-certificate"?: string;
  readonly "client-certificate-data"?: string;
  readonly "client-key"?: string;
  readonly "client-key-data"?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly username?: string;
  readonly password?: string;
}
interface ContextEntry {
  readonly cluster?: string;
  readonly user?: string;
  readonly namespace?: string;
}

/** Throws with the path in the message when the file is absent or names what it does not hold. */
export async function loadKubeconfig(files: Files, path: string): Promise<Kubeconfig> {
  const bytes = await files.read(path);
  if (bytes === undefined) throw new Error(`Cannot read kubeconfig ${path}: it does not exist`);
  const document = parseBody(bytes, "application/yaml").value as Document | null;
  const wanted = document?.["current-context"] ?? "";
  const context = document?.contexts?.find(({ name }) => name === wanted)?.context;
  if (context === undefined) throw new Error(`Kubeconfig ${path} has no context "${wanted}"`);
  const cluster = document?.clusters?.find(({ name }) => name === context.cluster)?.cluster;
  const user = document?.users?.find(({ name }) => name === context.user)?.user ?? {};
  if (cluster?.server === undefined) {
    throw new Error(`Kubeconfig ${path} has no server for cluster "${context.cluster ?? ""}"`);
  }
  const read = (data: string | undefined, file: string | undefined) =>
    readPem(files, path, data, file);
  const ca = await read(cluster["certificate-authority-data"], cluster["certificate-authority"]);
  const cert = await read(user["client-certificate-data"], user["client-certificate"]);
  const key = await read(user["client-key-data"], user["client-key"]);
  const token = user.token ?? (await read(undefined, user.tokenFile))?.trim();
  return {
    server: cluster.server,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(token === undefined ? {} : { token }),
    ...(user.username ? { basic: basicOf(user) } : {}),
    ...(cluster["tls-server-name"] ? { serverName: cluster["tls-server-name"] } : {}),
    skipsVerify: cluster["insecure-skip-tls-verify"] === true,
    namespace: context.namespace ?? "default",
  };
}

function basicOf({ username = "", password = "" }: UserEntry) {
  return { username, password };
}

/** Data in the file wins over a path, which is relative to the kubeconfig. */
async function readPem(
  files: Files,
  kubeconfig: string,
  data: string | undefined,
  file: string | undefined,
): Promise<string | undefined> {
  if (data) return Buffer.from(data, "base64").toString("utf8");
  if (!file) return undefined;
  const directory = kubeconfig.slice(0, kubeconfig.lastIndexOf("/") + 1);
  const path = file.startsWith("/") ? file : `${directory}${file}`;
  const text = await files.readText(path);
  if (text === undefined) throw new Error(`Cannot read ${path}, which kubeconfig names`);
  return text;
}
