/** API groups that other servers implement, as discovery tells them. */

/** A group that another server implements, as that server tells it (APIResourceList). */
export interface ExternalGroup {
  readonly name: string;
  /** Best version first. */
  readonly versions: readonly {
    readonly version: string;
    readonly resources: readonly unknown[];
  }[];
}
export interface ExternalGroups {
  groups(): readonly ExternalGroup[];
  /** Grows with every change of `groups`. */
  readonly generation: number;
}

interface ExternalResource {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced?: boolean;
  readonly group?: string;
  readonly version?: string;
  readonly kind: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

/** An APIResourceList of another server in the form of aggregated discovery. */
export function externalResources(group: string, version: string, resources: readonly unknown[]) {
  const list = resources as readonly ExternalResource[];
  const kindOf = (one: ExternalResource) => ({
    group: one.group || group,
    version: one.version || version,
    kind: one.kind,
  });
  return list
    .filter(({ name }) => !name.includes("/"))
    .map((one) => {
      const parts = list.filter(({ name }) => name.startsWith(`${one.name}/`));
      return {
        resource: one.name,
        responseKind: kindOf(one),
        scope: one.namespaced === true ? "Namespaced" : "Cluster",
        singularResource: one.singularName ?? "",
        verbs: one.verbs ?? [],
        ...(one.shortNames === undefined ? {} : { shortNames: one.shortNames }),
        ...(one.categories === undefined ? {} : { categories: one.categories }),
        ...(parts.length === 0
          ? {}
          : {
              subresources: parts.map((part) => ({
                subresource: part.name.slice(one.name.length + 1),
                responseKind: kindOf(part),
                verbs: part.verbs ?? [],
              })),
            }),
      };
    });
}
