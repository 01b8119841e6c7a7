/** authentication.k8s.io/v1 and authorization.k8s.io/v1: questions that are answered, not stored. */
import type { Attributes, Authorizer } from "../api/authorizer.ts";
import type { User } from "../api/request.ts";
import type { ResourceDefinition } from "../api/resource-definition.ts";
import type { Resource } from "../client/client.ts";
import {
  localSubjectAccessReviews,
  selfSubjectAccessReviews,
  selfSubjectReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
  tokenReviews,
} from "../client/resources.ts";
import type { SelfSubjectReview, TokenReview, UserInfo } from "../gen/authentication-v1.ts";
import type {
  NonResourceRule,
  ResourceRule,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  SubjectAccessReviewSpec,
  SubjectAccessReviewStatus,
} from "../gen/authorization-v1.ts";
import { ApiError } from "../lib/api-error.ts";
import type { KubeObject } from "../schema/object.ts";
import { define, type Row } from "./row.ts";

/** Who a token belongs to, for TokenReview; undefined when it is no good. */
export type ReviewToken = (
  token: string,
  audiences: readonly string[],
) => Promise<{ readonly user: User; readonly audiences: readonly string[] } | undefined>;

/** All rules that a user has in a namespace, for SelfSubjectRulesReview. */
export type RulesFor = (
  user: User,
  namespace: string,
) => {
  readonly resourceRules: readonly ResourceRule[];
  readonly nonResourceRules: readonly NonResourceRule[];
};

export interface ReviewOptions {
  readonly authorizer: Authorizer;
  readonly reviewToken: ReviewToken;
  readonly rulesFor: RulesFor;
}

function infoOf(user: User): UserInfo {
  const extra = Object.entries(user.extra).map(([key, values]) => [key, [...values]]);
  return {
    username: user.name,
    ...(user.uid === "" ? {} : { uid: user.uid }),
    groups: [...user.groups],
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

function badSpec(kind: string, detail: string): ApiError {
  return new ApiError("Invalid", `${kind}.authorization.k8s.io "" is invalid: ${detail}`, {
    details: { group: "authorization.k8s.io", kind },
  });
}

/** The question of a review, for one user. */
export function attributesOf(user: User, spec: SubjectAccessReviewSpec): Attributes {
  const { resourceAttributes: about, nonResourceAttributes: path } = spec;
  return {
    user,
    verb: about?.verb ?? path?.verb ?? "",
    group: about?.group ?? "",
    version: about?.version ?? "*",
    resource: about?.resource ?? "",
    subresource: about?.subresource ?? "",
    namespace: about?.namespace ?? "",
    name: about?.name ?? "",
    path: path?.path ?? "",
    isResourceRequest: about !== undefined,
  };
}

async function decide(
  authorizer: Authorizer,
  kind: string,
  user: User,
  spec: SubjectAccessReviewSpec,
): Promise<SubjectAccessReviewStatus> {
  const given = [spec.resourceAttributes, spec.nonResourceAttributes].filter(Boolean).length;
  if (given !== 1)
    throw badSpec(
      kind,
      "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
  const { allowed, reason } = await authorizer.authorize(attributesOf(user, spec));
  return { allowed, ...(reason === "" ? {} : { reason }) };
}

function subjectOf(kind: string, spec: SubjectAccessReviewSpec): User {
  if (!spec.user && (spec.groups ?? []).length === 0)
    throw badSpec(
      kind,
      'spec.user: Invalid value: "": at least one of user or group must be specified',
    );
  return {
    name: spec.user ?? "",
    uid: spec.uid ?? "",
    groups: spec.groups ?? [],
    extra: (spec.extra ?? {}) as Record<string, string[]>,
  };
}

function virtual<T extends KubeObject>(
  identity: Resource<T>,
  answer: NonNullable<Row<T>["virtual"]>,
): ResourceDefinition {
  return define<T>(identity, { verbs: ["create"], storagePrefix: null, virtual: answer });
}

/** The rows of authentication.k8s.io. */
export function authentication(options: ReviewOptions): readonly ResourceDefinition[] {
  return [
    virtual<SelfSubjectReview>(selfSubjectReviews, async (object, request) => ({
      ...object,
      status: { userInfo: infoOf(request.user) },
    })),
    virtual<TokenReview>(tokenReviews, async (object) => {
      const token = object.spec?.token ?? "";
      if (token === "")
        throw new ApiError("BadRequest", "token is required for TokenReview in authentication");
      const found = await options.reviewToken(token, object.spec.audiences ?? []);
      if (found === undefined) return { ...object, status: {} };
      const status = {
        authenticated: true,
        user: infoOf(found.user),
        audiences: [...found.audiences],
      };
      return { ...object, status };
    }),
  ];
}

/** The rows of authorization.k8s.io. */
export function authorization(options: ReviewOptions): readonly ResourceDefinition[] {
  const { authorizer } = options;
  return [
    virtual<SubjectAccessReview>(localSubjectAccessReviews, async (object, request) => {
      const kind = "LocalSubjectAccessReview";
      if (object.spec.resourceAttributes?.namespace !== request.namespace)
        throw new ApiError(
          "BadRequest",
          `spec.resourceAttributes.namespace must match namespace: ${request.namespace}`,
        );
      const user = subjectOf(kind, object.spec);
      return { ...object, status: await decide(authorizer, kind, user, object.spec) };
    }),
    virtual<SelfSubjectAccessReview>(selfSubjectAccessReviews, async (object, request) => ({
      ...object,
      status: await decide(authorizer, "SelfSubjectAccessReview", request.user, object.spec),
    })),
    virtual<SelfSubjectRulesReview>(selfSubjectRulesReviews, async (object, request) => {
      const namespace = object.spec?.namespace ?? "";
      if (namespace === "") throw new ApiError("BadRequest", "no namespace on request");
      const { resourceRules, nonResourceRules } = options.rulesFor(request.user, namespace);
      return {
        ...object,
        status: {
          resourceRules: [...resourceRules],
          nonResourceRules: [...nonResourceRules],
          incomplete: false,
        },
      };
    }),
    virtual<SubjectAccessReview>(subjectAccessReviews, async (object) => {
      const user = subjectOf("SubjectAccessReview", object.spec);
      const status = await decide(authorizer, "SubjectAccessReview", user, object.spec);
      return { ...object, status };
    }),
  ];
}
