/** HTTPRoute and GRPCRoute. */
import type { CustomResourceColumnDefinition } from "../../gen/apiextensions-v1.ts";
import { age, definition } from "./definition.ts";
import {
  backendRefs,
  commonFilters,
  filtersOf,
  hostnames,
  parentRefs,
  routeStatus,
  timeouts,
  valueMatches,
} from "./route-schema.ts";
import {
  list,
  object,
  oneOf,
  port,
  preciseHostname,
  type Rule,
  rules,
  type Schema,
  sectionName,
  withDefault,
} from "./schema-parts.ts";

const path = object(
  {
    type: withDefault("PathPrefix", oneOf("Exact", "PathPrefix", "RegularExpression")),
    value: withDefault("/", { type: "string", maxLength: 1024 }),
  },
  rules(
    [
      "self.type in ['Exact', 'PathPrefix'] ? self.value.startsWith('/') : true",
      "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
    ],
    ...["//", "/./", "/../", "%2f", "%2F", "#"].map(
      (part) =>
        [
          `self.type in ['Exact', 'PathPrefix'] ? !self.value.contains('${part}') : true`,
          `must not contain '${part}' when type one of ['Exact', 'PathPrefix']`,
        ] as const,
    ),
    ...["/..", "/."].map(
      (part) =>
        [
          `self.type in ['Exact', 'PathPrefix'] ? !self.value.endsWith('${part}') : true`,
          `must not end with '${part}' when type one of ['Exact', 'PathPrefix']`,
        ] as const,
    ),
    [
      [
        "self.type in ['Exact', 'PathPrefix']",
        `? self.value.matches(r"""^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""")`,
        ": true",
      ],
      "must only contain valid characters of a path",
    ],
  ),
);

const pathChange = object(
  {
    "type!": oneOf("ReplaceFullPath", "ReplacePrefixMatch"),
    replaceFullPath: { type: "string", maxLength: 1024 },
    replacePrefixMatch: { type: "string", maxLength: 1024 },
  },
  rules(
    ...["replaceFullPath", "replacePrefixMatch"].map((name) => {
      const type = `R${name.slice(1)}`;
      return [
        `has(self.${name}) == (self.type == '${type}')`,
        `${name} must be specified if and only if type is '${type}'`,
      ] as const;
    }),
  ),
);

const httpFilters = filtersOf(
  {
    ...commonFilters,
    requestRedirect: object({
      scheme: oneOf("http", "https"),
      hostname: preciseHostname,
      path: pathChange,
      port,
      statusCode: withDefault(302, { type: "integer", enum: [301 as never, 302 as never] }),
    }),
    urlRewrite: object({ hostname: preciseHostname, path: pathChange }),
  },
  ["requestHeaderModifier", "responseHeaderModifier", "requestRedirect", "urlRewrite"],
);

/** CEL: a prefix can be replaced only where exactly one is compared. */
function onePrefix(filter: "requestRedirect" | "urlRewrite"): Rule {
  return [
    [
      `has(self.filters) && self.filters.exists(f, has(f.${filter}) && has(f.${filter}.path)`,
      `&& f.${filter}.path.type == 'ReplacePrefixMatch') ? size(self.matches) == 1`,
      "&& has(self.matches[0].path) && self.matches[0].path.type == 'PathPrefix' : true",
    ],
    `When using ${filter} with path.replacePrefixMatch, ` +
      "exactly one PathPrefix match must be specified",
  ];
}

const everyPath = { path: { type: "PathPrefix", value: "/" } };

const routeColumns: readonly CustomResourceColumnDefinition[] = [
  { name: "Hostnames", type: "string", jsonPath: ".spec.hostnames" },
  age,
];

export const httpRoute = definition({
  kind: "HTTPRoute",
  scope: "Namespaced",
  versions: ["v1", "v1beta1"],
  columns: routeColumns,
  spec: object({
    hostnames,
    parentRefs,
    rules: withDefault(
      [{ matches: [everyPath] }],
      list(
        object(
          {
            name: sectionName,
            matches: withDefault(
              [everyPath],
              list(
                object({
                  path: withDefault(everyPath.path, path),
                  headers: valueMatches(4096, "RegularExpression"),
                  queryParams: valueMatches(1024, "RegularExpression"),
                  method: oneOf(
                    ..."GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split(" "),
                  ),
                }),
                64,
              ),
            ),
            filters: httpFilters,
            backendRefs: backendRefs(httpFilters),
            timeouts,
          },
          rules(
            [
              [
                "has(self.backendRefs) && size(self.backendRefs) > 0",
                "? !has(self.filters) || self.filters.all(f, !has(f.requestRedirect)) : true",
              ],
              "RequestRedirect filter must not be used together with backendRefs",
            ],
            onePrefix("requestRedirect"),
            onePrefix("urlRewrite"),
          ),
        ),
        16,
        rules([
          "self.map(r, has(r.matches) ? size(r.matches) : 0).sum() <= 128",
          "the total number of matches across all rules in a route must be 128 at most",
        ]),
      ),
    ),
  }),
  status: routeStatus,
});

const grpcFilters = filtersOf(commonFilters, ["requestHeaderModifier", "responseHeaderModifier"]);

const grpcName = (pattern: string): Schema => ({ type: "string", maxLength: 1024, pattern });

export const grpcRoute = definition({
  kind: "GRPCRoute",
  scope: "Namespaced",
  versions: ["v1"],
  columns: routeColumns,
  spec: object({
    hostnames,
    parentRefs,
    rules: list(
      object({
        name: sectionName,
        matches: list(
          object({
            headers: valueMatches(4096, "RegularExpression"),
            method: object(
              {
                type: withDefault("Exact", oneOf("Exact", "RegularExpression")),
                service: grpcName("^[^/]*$"),
                method: grpcName("^[^/]*$"),
              },
              rules([
                "has(self.service) || has(self.method)",
                "One or both of 'service' or 'method' must be specified",
              ]),
            ),
          }),
          64,
        ),
        filters: grpcFilters,
        backendRefs: backendRefs(grpcFilters),
      }),
      16,
    ),
  }),
  status: routeStatus,
});
