/** What HTTPRoute and GRPCRoute have in common: parents, backends, filters of fields, status. */
import { gatewayGroup } from "../../schema/gateway-api.ts";
import {
  conditions,
  controllerName,
  duration,
  fieldName,
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
  port,
  rules,
  type Schema,
  sectionName,
  text,
  whole,
  withDefault,
} from "./schema-parts.ts";

const parentRef = object({
  group: withDefault(gatewayGroup, groupName),
  kind: withDefault("Gateway", kindName),
  "name!": objectName,
  namespace: namespaceName,
  port,
  sectionName,
});

/** CEL: two references lead to the same parent. */
const sameParent =
  "p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && " +
  `${orEmpty("p1.__namespace__")} == ${orEmpty("p2.__namespace__")}`;

const toSameParent = "parentRefs includes 2 or more references to the same parent";

export const parentRefs = list(
  parentRef,
  32,
  rules(
    [
      [
        `self.all(p1, self.all(p2, ${sameParent}`,
        "? has(p1.sectionName) == has(p2.sectionName) : true))",
      ],
      `sectionName must be specified when ${toSameParent}`,
    ],
    [
      [
        `self.all(p1, self.exists_one(p2, ${sameParent}`,
        `&& ${orEmpty("p1.sectionName")} == ${orEmpty("p2.sectionName")}))`,
      ],
      `sectionName must be unique when ${toSameParent}`,
    ],
  ),
);

export const hostnames = list(hostname, 16);

const needsPort = rules([
  "size(self.group) == 0 && self.kind == 'Service' ? has(self.port) : true",
  "Must have port for Service reference",
]);

const serviceRef = {
  group: withDefault("", groupName),
  kind: withDefault("Service", kindName),
  "name!": objectName,
  namespace: namespaceName,
  port,
};

export function backendRefs(filters: Schema): Schema {
  const weight = withDefault(1, whole(0, 1_000_000));
  return list(object({ ...serviceRef, weight, filters }, needsPort), 16);
}

const field = object({ "name!": fieldName, "value!": text(4096) });

const fieldChanges = object({
  set: mapList("name", field, 16),
  add: mapList("name", field, 16),
  remove: list({ type: "string" }, 16, { "x-kubernetes-list-type": "set" }),
});

const mirror = object(
  {
    "backendRef!": object(serviceRef, needsPort),
    fraction: object(
      { "numerator!": whole(0), denominator: withDefault(100, whole(1)) },
      rules([
        "self.numerator <= self.denominator",
        "numerator must be less than or equal to denominator",
      ]),
    ),
    percent: whole(0, 100),
  },
  rules([
    "!(has(self.percent) && has(self.fraction))",
    "Only one of percent or fraction may be specified",
  ]),
);

/** The filters of all kinds of routes, by the field that says more of each. */
export const commonFilters = {
  requestHeaderModifier: fieldChanges,
  responseHeaderModifier: fieldChanges,
  requestMirror: mirror,
  extensionRef: object({ "group!": groupName, "kind!": kindName, "name!": objectName }),
} as const;

/** `RequestMirror` for `requestMirror`. */
function typeOf(fieldOfFilter: string): string {
  if (fieldOfFilter === "urlRewrite") return "URLRewrite";
  return `${fieldOfFilter[0]?.toUpperCase()}${fieldOfFilter.slice(1)}`;
}

/** A list of filters: each has the field that its type names and no other. */
export function filtersOf(
  kinds: Readonly<Record<string, Schema>>,
  once: readonly string[],
): Schema {
  const names = Object.keys(kinds);
  const fits = names.map((name) => {
    const type = typeOf(name);
    return [
      `has(self.${name}) == (self.type == '${type}')`,
      `filter.${name} must be specified if and only if filter.type is ${type}`,
    ] as const;
  });
  const filter = object({ "type!": oneOf(...names.map(typeOf)), ...kinds }, rules(...fits));
  const single = once.map((name) => {
    const type = typeOf(name);
    return [
      `self.filter(f, f.type == '${type}').size() <= 1`,
      `${type} filter cannot be repeated`,
    ] as const;
  });
  const both =
    "requestRedirect" in kinds
      ? ([
          [
            [
              "!(self.exists(f, f.type == 'RequestRedirect')",
              "&& self.exists(f, f.type == 'URLRewrite'))",
            ],
            "May specify either RequestRedirect or URLRewrite, but not both",
          ],
        ] as const)
      : [];
  return list(filter, 16, rules(...both, ...single));
}

export const timeouts = object(
  { request: duration, backendRequest: duration },
  rules([
    [
      "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s')",
      "&& duration(self.backendRequest) > duration(self.request))",
    ],
    "backendRequest timeout cannot be longer than request timeout",
  ]),
);

/** A name and a value that fields or parameters of a query are compared with. */
export function valueMatches(valueLength: number, ...types: readonly string[]): Schema {
  const match = object({
    "name!": fieldName,
    type: withDefault("Exact", oneOf("Exact", ...types)),
    "value!": text(valueLength),
  });
  return mapList("name", match, 16);
}

export const routeStatus = object({
  "parents!": list(
    object({
      "conditions!": { ...conditions, minItems: 1 },
      "controllerName!": controllerName,
      "parentRef!": parentRef,
    }),
    32,
  ),
});
