/** `authorizer` in CEL: asks what the user of the request may do besides it (KEP-3488). */
import type { CelDeclarations } from "../../schema/cel/environment.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { Attributes, Authorizer, Decision } from "../authorizer.ts";
import type { User } from "../request.ts";

type Asked = Omit<Attributes, "user" | "verb" | "version" | "isResourceRequest" | "path">;

const nothing: Asked = { group: "", resource: "", subresource: "", namespace: "", name: "" };

/** The value of the variable; `requestResource` stands for the request itself. */
export class CelAuthorizer {
  readonly requestResource: ResourceCheck;

  constructor(
    readonly authorizer: Authorizer,
    readonly user: User,
    request: Asked = nothing,
  ) {
    this.requestResource = new ResourceCheck(this, request);
  }
}

class GroupCheck {
  constructor(
    readonly by: CelAuthorizer,
    readonly group: string,
  ) {}
}

class PathCheck {
  constructor(
    readonly by: CelAuthorizer,
    readonly path: string,
  ) {}
}

class ResourceCheck {
  constructor(
    readonly by: CelAuthorizer,
    readonly asked: Asked,
  ) {}

  with(more: Partial<Asked>): ResourceCheck {
    return new ResourceCheck(this.by, { ...this.asked, ...more });
  }
}

class CelDecision {
  constructor(readonly decision: Decision) {}
}

/** The authorizer that expressions about a request see. */
export function authorizerOf(context: AdmissionContext): CelAuthorizer {
  const { authorizer, definition, namespace, name, request, subresource } = context;
  const { group, plural: resource } = definition;
  return new CelAuthorizer(authorizer, request.user, {
    group,
    resource,
    subresource,
    namespace,
    name,
  });
}

const names = {
  authorizer: "kubernetes.authorization.Authorizer",
  path: "kubernetes.authorization.PathCheck",
  group: "kubernetes.authorization.GroupCheck",
  resource: "kubernetes.authorization.ResourceCheck",
  decision: "kubernetes.authorization.Decision",
} as const;
export const authorizerType = names.authorizer;

/** Declares the types and functions of `authorizer`; checks are answered asynchronously. */
export function registerAuthorizer(environment: CelDeclarations): void {
  environment.registerType(names.decision, { ctor: CelDecision, fields: {} });
  environment.registerType(names.path, { ctor: PathCheck, fields: {} });
  environment.registerType(names.group, { ctor: GroupCheck, fields: {} });
  environment.registerType(names.resource, { ctor: ResourceCheck, fields: {} });
  const fields = { requestResource: names.resource };
  environment.registerType(names.authorizer, { ctor: CelAuthorizer, fields });
  const add = environment.registerFunction.bind(environment);
  add(`${names.authorizer}.path(string): ${names.path}`, (by: CelAuthorizer, path: string) => {
    if (path === "") throw new Error("path must not be empty");
    return new PathCheck(by, path);
  });
  add(`${names.authorizer}.group(string): ${names.group}`, (by: CelAuthorizer, group: string) => {
    return new GroupCheck(by, group);
  });
  add(
    `${names.authorizer}.serviceAccount(string, string): ${names.authorizer}`,
    ({ authorizer }: CelAuthorizer, namespace: string, name: string) =>
      new CelAuthorizer(authorizer, serviceAccountUser(namespace, name)),
  );
  add(`${names.group}.resource(string): ${names.resource}`, (of: GroupCheck, resource: string) => {
    return new ResourceCheck(of.by, { ...nothing, group: of.group, resource });
  });
  for (const part of ["subresource", "namespace", "name"] as const) {
    add(`${names.resource}.${part}(string): ${names.resource}`, (of: ResourceCheck, text: string) =>
      of.with({ [part]: text }),
    );
  }
  // Selectors narrow what is asked; rules know none, so that the wider question is the same.
  for (const part of ["fieldSelector", "labelSelector"]) {
    add(`${names.resource}.${part}(string): ${names.resource}`, (of: ResourceCheck) => of);
  }
  registerChecks(environment);
}

function registerChecks(environment: CelDeclarations): void {
  const add = environment.registerFunction.bind(environment);
  const check = async (by: CelAuthorizer, more: Partial<Attributes>): Promise<CelDecision> => {
    const base = { ...nothing, version: "*", verb: "", path: "", isResourceRequest: true };
    const decision = await by.authorizer.authorize({ ...base, user: by.user, ...more });
    return new CelDecision(decision);
  };
  add(
    `${names.path}.check(string): ${names.decision}`,
    async ({ by, path }: PathCheck, verb: string) =>
      check(by, { path, verb, isResourceRequest: false }),
  );
  add(
    `${names.resource}.check(string): ${names.decision}`,
    async ({ by, asked }: ResourceCheck, verb: string) => check(by, { ...asked, verb }),
  );
  add(`${names.decision}.allowed(): bool`, ({ decision }: CelDecision) => decision.allowed);
  add(`${names.decision}.reason(): string`, ({ decision }: CelDecision) => decision.reason);
  add(
    `${names.decision}.errored(): bool`,
    ({ decision }: CelDecision) => decision.error !== undefined,
  );
  add(`${names.decision}.error(): string`, ({ decision }: CelDecision) => decision.error ?? "");
}

function serviceAccountUser(namespace: string, name: string): User {
  const accounts = "system:serviceaccounts";
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    uid: "",
    groups: [accounts, `${accounts}:${namespace}`, "system:authenticated"],
    extra: {},
  };
}
