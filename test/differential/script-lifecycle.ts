/** Every kind through every verb and representation, with what the servers said before. */
import type { Exchange, JsonObject } from "./client.ts";
import { objectOf, type Pair, type Side } from "./pair.ts";
import { at, type Subject } from "./subjects.ts";

/** Kinds whose status the server itself writes soon after. */
const settling = new Set([
  "CustomResourceDefinition",
  "PriorityLevelConfiguration",
  "APIService",
  "FlowSchema",
  "ServiceCIDR",
]);
const settleMs = 1500;

const accepts = [
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
  "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
  "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
  "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
];

export const patchTypes = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
} as const;

export function patch(
  type: keyof typeof patchTypes,
  path: string,
  body: Exchange["body"],
): Exchange {
  const headers = { "content-type": patchTypes[type] };
  return { method: "PATCH", path, headers, ...(body === undefined ? {} : { body }) };
}

async function readForms(pair: Pair, subject: Subject, path: string): Promise<void> {
  for (const accept of accepts) {
    const headers = { accept };
    await pair.send(`${subject.kind} get`, { method: "GET", path, headers });
    const list = `${subject.collection}?labelSelector=app`;
    await pair.send(`${subject.kind} list`, { method: "GET", path: list, headers });
  }
}

async function writeForms(pair: Pair, subject: Subject, path: string): Promise<void> {
  const { kind } = subject;
  let read = await pair.ask({ method: "GET", path });
  const put =
    (change: (object: JsonObject, side: Side) => void) =>
    (side: Side): Exchange => {
      const body = objectOf(read, side);
      change(body, side);
      return { method: "PUT", path, body };
    };
  await pair.send(
    `${kind} update unchanged`,
    put(() => {}),
  );
  // Upstream may bring what is stored into its present form by that.
  read = await pair.ask({ method: "GET", path });
  await pair.send(
    `${kind} update`,
    put((object) => {
      (object.metadata as JsonObject).annotations = { changed: "yes" };
    }),
  );
  await pair.send(
    `${kind} update of an old revision`,
    put((object) => {
      (object.metadata as JsonObject).labels = { late: "yes" };
    }),
  );
  await pair.send(
    `${kind} update of another uid`,
    put((object) => {
      const metadata = object.metadata as JsonObject;
      metadata.uid = "00000000-0000-0000-0000-000000000000";
      delete metadata.resourceVersion;
    }),
  );
  const labels = (value: string): JsonObject => ({ metadata: { labels: { patched: value } } });
  await pair.send(`${kind} merge patch`, patch("merge", path, labels("m")));
  await pair.send(`${kind} strategic patch`, patch("strategic", path, labels("s")));
  await pair.send(
    `${kind} json patch`,
    patch("json", path, [{ op: "add", path: "/metadata/labels/patched", value: "j" }]),
  );
}

async function applyForms(pair: Pair, subject: Subject, path: string): Promise<void> {
  const { kind, apiVersion } = subject;
  const applied = (manager: string, value: string, force: boolean): Exchange =>
    patch("apply", `${path}?fieldManager=${manager}${force ? "&force=true" : ""}`, {
      apiVersion,
      kind,
      metadata: { labels: { app: value } },
    });
  await pair.send(`${kind} apply`, applied("one", "a", false));
  await pair.send(`${kind} apply with a conflict`, applied("two", "b", false));
  await pair.send(`${kind} apply by force`, applied("two", "b", true));
  await pair.send(`${kind} apply without a manager`, patch("apply", path, { apiVersion, kind }));
}

async function subresourceForms(pair: Pair, subject: Subject, path: string): Promise<void> {
  for (const name of ["status", "scale"]) {
    if (!subject.subresources.includes(name)) continue;
    const sub = `${path}/${name}`;
    const read = await pair.send(`${subject.kind} get ${name}`, { method: "GET", path: sub });
    await pair.send(`${subject.kind} update ${name}`, (side) => ({
      method: "PUT",
      path: sub,
      body: objectOf(read, side),
    }));
    const body = { metadata: { annotations: { of: name } }, spec: { replicas: 3 } };
    await pair.send(`${subject.kind} patch ${name}`, patch("merge", sub, body));
  }
}

async function endForms(pair: Pair, subject: Subject, path: string): Promise<void> {
  const { kind } = subject;
  const gone = (preconditions: JsonObject): Exchange => ({
    method: "DELETE",
    path,
    body: { apiVersion: "v1", kind: "DeleteOptions", preconditions },
  });
  await pair.send(`${kind} delete of another uid`, gone({ uid: "another" }));
  await pair.send(`${kind} delete of another revision`, gone({ resourceVersion: "1" }));
  await pair.send(`${kind} delete, dry run`, { method: "DELETE", path: `${path}?dryRun=All` });
  await pair.send(`${kind} delete`, { method: "DELETE", path });
  await pair.send(`${kind} get when gone`, { method: "GET", path });
  await pair.send(`${kind} delete when gone`, { method: "DELETE", path });
}

export async function lifecycle(pair: Pair, subject: Subject): Promise<void> {
  const { kind, collection, apiVersion } = subject;
  const base = "life";
  const path = `${collection}/${subject.nameFor(base)}`;
  const body = subject.object(base);
  const create = (query: string, object: JsonObject): Exchange => ({
    method: "POST",
    path: collection + query,
    body: object,
  });
  await pair.send(`${kind} create, dry run`, create("?dryRun=All", body));
  const before = await pair.ask({ method: "GET", path: `${collection}?limit=1` });
  await pair.send(`${kind} create`, create("?fieldManager=maker", body));
  if (settling.has(kind)) await Bun.sleep(settleMs);
  await pair.send(`${kind} create again`, create("", body));
  await pair.send(`${kind} create empty`, create("?dryRun=All", { apiVersion, kind }));
  const bare = { apiVersion, kind, metadata: { generateName: `${base}-` } };
  await pair.send(`${kind} create bare`, create("?dryRun=All", bare));
  await readForms(pair, subject, path);
  await writeForms(pair, subject, path);
  await subresourceForms(pair, subject, path);
  await applyForms(pair, subject, path);
  await endForms(pair, subject, path);
  await pair.send(`${kind} watch`, (side) => {
    const revision = at(before[side].body, "metadata", "resourceVersion");
    const query = `watch=1&timeoutSeconds=1&resourceVersion=${String(revision)}`;
    return { method: "GET", path: `${collection}?${query}` };
  });
}
