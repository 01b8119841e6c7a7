/** GatewayClass, Gateway and ReferenceGrant. */
import { gatewayGroup } from "../../schema/gateway-api.ts";
import { age, conditionColumn, definition } from "./definition.ts";
import {
  addressType,
  conditions,
  controllerName,
  groupName,
  hostname,
  kindName,
  list,
  mapList,
  namespaceName,
  object,
  objectName,
  oneOf,
  orEmpty,
  parametersRef,
  pending,
  port,
  protocolName,
  type Rule,
  rules,
  type Schema,
  sectionName,
  selector,
  text,
  withDefault,
} from "./schema-parts.ts";

export const gatewayClass = definition({
  kind: "GatewayClass",
  shortNames: ["gc"],
  scope: "Cluster",
  versions: ["v1", "v1beta1"],
  columns: [
    { name: "Controller", type: "string", jsonPath: ".spec.controllerName" },
    conditionColumn("Accepted"),
    age,
    { name: "Description", type: "string", priority: 1, jsonPath: ".spec.description" },
  ],
  spec: object({
    "controllerName!": {
      ...controllerName,
      ...rules(["self == oldSelf", "Value is immutable"]),
    },
    description: { type: "string", maxLength: 64 },
    parametersRef: object({
      "group!": groupName,
      "kind!": kindName,
      "name!": objectName,
      namespace: namespaceName,
    }),
  }),
  status: withDefault(
    { conditions: pending("Accepted") },
    object({
      conditions: withDefault(pending("Accepted"), conditions),
      supportedFeatures: mapList("name", object({ "name!": { type: "string" } }), 64),
    }),
  ),
});

const routeKind = object({ group: withDefault(gatewayGroup, groupName), "kind!": kindName });

const tls = object(
  {
    mode: withDefault("Terminate", oneOf("Terminate", "Passthrough")),
    certificateRefs: list(
      object({
        group: withDefault("", groupName),
        kind: withDefault("Secret", kindName),
        "name!": objectName,
        namespace: namespaceName,
      }),
      64,
    ),
    options: {
      type: "object",
      maxProperties: 16,
      additionalProperties: { type: "string", maxLength: 4096 },
    },
  },
  rules([
    "self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true",
    "certificateRefs or options must be specified when mode is Terminate",
  ]),
);

const from = { from: "Same" };

const listener = object({
  "name!": sectionName,
  hostname,
  "port!": port,
  "protocol!": protocolName,
  tls,
  allowedRoutes: withDefault(
    { namespaces: from },
    object({
      kinds: list(routeKind, 8),
      namespaces: withDefault(
        from,
        object({ from: withDefault("Same", oneOf("All", "Selector", "Same")), selector }),
      ),
    }),
  ),
});

const listeners = mapList("name", listener, 64, {
  minItems: 1,
  ...rules(
    [
      "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
      "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
    ],
    [
      "self.all(l, l.protocol == 'HTTPS' && has(l.tls) ? l.tls.mode == 'Terminate' : true)",
      "tls mode must be Terminate for protocol HTTPS",
    ],
    [
      "self.all(l, l.protocol in ['TCP', 'UDP'] ? !has(l.hostname) : true)",
      "hostname must not be specified for protocols ['TCP', 'UDP']",
    ],
    [
      "self.all(l1, self.exists_one(l2, l1.name == l2.name))",
      "Listener name must be unique within the Gateway",
    ],
    [
      [
        "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol",
        `&& ${orEmpty("l1.hostname")} == ${orEmpty("l2.hostname")}))`,
      ],
      "Combination of port, protocol and hostname must be unique for each listener",
    ],
  ),
});

const uniqueAddresses = (type: string): Rule => [
  [
    `self.all(a1, a1.type == '${type}' && has(a1.value)`,
    "? self.exists_one(a2, a2.type == a1.type && has(a2.value) && a2.value == a1.value) : true)",
  ],
  `${type} values must be unique`,
];

const passedOnKeys = (maxLength: number): Schema => ({
  type: "object",
  maxProperties: 8,
  additionalProperties: { type: "string", maxLength },
});

export const gateway = definition({
  kind: "Gateway",
  shortNames: ["gtw"],
  scope: "Namespaced",
  versions: ["v1", "v1beta1"],
  columns: [
    { name: "Class", type: "string", jsonPath: ".spec.gatewayClassName" },
    { name: "Address", type: "string", jsonPath: ".status.addresses[*].value" },
    conditionColumn("Programmed"),
    age,
  ],
  spec: object({
    "gatewayClassName!": objectName,
    addresses: list(
      object({ type: addressType, value: { type: "string", maxLength: 253 } }),
      16,
      rules(uniqueAddresses("IPAddress"), uniqueAddresses("Hostname")),
    ),
    infrastructure: object({
      annotations: passedOnKeys(4096),
      labels: passedOnKeys(63),
      parametersRef,
    }),
    "listeners!": listeners,
  }),
  status: withDefault(
    { conditions: pending("Accepted", "Programmed") },
    object({
      addresses: list(object({ type: addressType, "value!": text(253) }), 16),
      conditions: withDefault(pending("Accepted", "Programmed"), conditions),
      listeners: mapList(
        "name",
        object({
          "attachedRoutes!": { type: "integer", format: "int32" },
          "conditions!": conditions,
          "name!": sectionName,
          "supportedKinds!": list(routeKind, 8),
        }),
        64,
      ),
    }),
  ),
});

export const referenceGrant = definition({
  kind: "ReferenceGrant",
  shortNames: ["refgrant"],
  scope: "Namespaced",
  versions: ["v1beta1"],
  columns: [age],
  spec: object({
    "from!": list(
      object({ "group!": groupName, "kind!": kindName, "namespace!": namespaceName }),
      16,
      { minItems: 1 },
    ),
    "to!": list(object({ "group!": groupName, "kind!": kindName, name: objectName }), 16, {
      minItems: 1,
    }),
  }),
});
