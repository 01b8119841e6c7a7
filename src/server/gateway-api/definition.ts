/** One kind of the Gateway API, v1.4, standard channel, as a CustomResourceDefinition. */
import type {
  CustomResourceColumnDefinition,
  CustomResourceDefinition,
} from "../../gen/apiextensions-v1.ts";
import { gatewayGroup } from "../../schema/gateway-api.ts";
import type { Schema } from "./schema-parts.ts";

const bundleVersion = "v1.4.1";

interface Definition {
  readonly kind: string;
  readonly shortNames?: readonly string[];
  readonly scope: "Cluster" | "Namespaced";
  /** The first one is stored. */
  readonly versions: readonly string[];
  readonly columns: readonly CustomResourceColumnDefinition[];
  readonly spec: Schema;
  readonly status?: Schema;
}

export function definition(of: Definition): CustomResourceDefinition {
  const { kind, shortNames, scope, versions, columns, spec, status } = of;
  const singular = kind.toLowerCase();
  const plural = singular.endsWith("s") ? `${singular}es` : `${singular}s`;
  const schema: Schema = {
    type: "object",
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec,
      ...(status === undefined ? {} : { status }),
    },
    required: ["spec"],
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${gatewayGroup}`,
      annotations: {
        "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/3328",
        [`${gatewayGroup}/bundle-version`]: bundleVersion,
        [`${gatewayGroup}/channel`]: "standard",
      },
    },
    spec: {
      group: gatewayGroup,
      names: {
        categories: ["gateway-api"],
        kind,
        listKind: `${kind}List`,
        plural,
        singular,
        ...(shortNames === undefined ? {} : { shortNames: [...shortNames] }),
      },
      scope,
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        additionalPrinterColumns: [...columns],
        schema: { openAPIV3Schema: schema },
        ...(status === undefined ? {} : { subresources: { status: {} } }),
      })),
    },
  };
}

export const age = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" } as const;

export function conditionColumn(type: string): CustomResourceColumnDefinition {
  return {
    name: type,
    type: "string",
    jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
  };
}
