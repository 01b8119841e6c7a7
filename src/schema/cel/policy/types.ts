/** The types of what expressions about admission requests see. */
import {
  bool,
  type CelType,
  dyn,
  type Fields,
  int,
  listOf,
  mapOf,
  string,
  struct,
  timestamp,
} from "../check/types.ts";

function object(name: string, fields: Readonly<Record<string, CelType>>): CelType {
  const entries = Object.entries(fields).map(([field, type]) => [field, { type }] as const);
  return struct(`kubernetes.${name}`, new Map(entries));
}

const strings = listOf(string);
const texts = mapOf(string, string);
const kind = object("GroupVersionKind", { group: string, version: string, kind: string });
const resource = object("GroupVersionResource", {
  group: string,
  version: string,
  resource: string,
});
const userInfo = object("UserInfo", {
  username: string,
  uid: string,
  groups: strings,
  extra: mapOf(string, strings),
});

export const requestType = object("AdmissionRequest", {
  kind,
  resource,
  subResource: string,
  requestKind: kind,
  requestResource: resource,
  requestSubResource: string,
  name: string,
  namespace: string,
  operation: string,
  userInfo,
  dryRun: bool,
  options: dyn,
});

const condition = object("NamespaceCondition", {
  status: string,
  type: string,
  lastTransitionTime: timestamp,
  message: string,
  reason: string,
});

export const namespaceType = object("Namespace", {
  metadata: object("NamespaceMetadata", {
    name: string,
    generateName: string,
    namespace: string,
    labels: texts,
    annotations: texts,
    UID: string,
    creationTimestamp: timestamp,
    deletionGracePeriodSeconds: int,
    deletionTimestamp: timestamp,
    generation: int,
    resourceVersion: string,
    finalizers: strings,
  }),
  spec: object("NamespaceSpec", { finalizers: strings }),
  status: object("NamespaceStatus", { conditions: listOf(condition), phase: string }),
});

/** Of a message that may have any fields. */
class AnyFields extends Map<string, { readonly type: CelType }> {
  override get(_name: string) {
    return { type: dyn };
  }
  override has(): boolean {
    return true;
  }
}
const anyFields: Fields = new AnyFields();
const patchFields: Fields = new Map([
  ["op", { type: string }],
  ["path", { type: string }],
  ["from", { type: string }],
  ["value", { type: dyn }],
]);

/** What mutations may write: `Object`, what is below it, and `JSONPatch`. */
export function mutationMessage(name: string): CelType | undefined {
  if (name === "JSONPatch") return struct(name, patchFields);
  return name === "Object" || name.startsWith("Object.") ? struct(name, anyFields) : undefined;
}
