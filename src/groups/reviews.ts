/** authentication.k8s.io and authorization.k8s.io v1: questions, answered but never stored. */
import {
  type NoteCredential,
  type OtherTokens,
  userOfToken,
  type VerifyToken,
} from "../api/auth/token-user.ts";
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
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { define, type Row } from "./row.ts";

export interface ReviewOptions {
  readonly verifyToken: VerifyToken;
  readonly otherTokens?: OtherTokens | undefined;
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
      "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or " +
        "resourceAttributes must be specified",
    );
  const decision = await authorizer.authorize(attributesOf(user, spec));
  const { allowed, isFinal = false, reason, error } = decision;
  return {
    allowed,
    ...(isFinal && !allowed && { denied: true }),
    ...(reason !== "" && { reason }),
    ...(error !== undefined && { evaluationError: error }),
  };
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
    virtual<TokenReview>(
      tokenReviews,
      async (object, _request, { audit, client, live, runtime }) => {
        const token = object.spec?.token ?? "";
        if (token === "")
          throw new ApiError("BadRequest", "token is required for TokenReview in authentication");
        const asked = object.spec.audiences ?? [];
        const note: NoteCredential = (key, value) => audit?.annotate(key, value);
        const context = { ...options, client, live, note, now: runtime.clock.now() };
        const wanted = asked.length === 0 ? undefined : asked;
        let error = "invalid bearer token";
        const found = await userOfToken(token, context, wanted).catch((failure: unknown) => {
          if (failure instanceof ApiError) throw failure;
          error = failure instanceof Error ? failure.message : String(failure);
          return undefined;
        });
        const isOther = asked.length > 0 && !found?.audiences.some((one) => asked.includes(one));
        if (found === undefined || isOther) return { ...object, status: { user: {}, error } };
        const { user, audiences } = found;
        const shared = audiences.filter((one) => asked.length === 0 || asked.includes(one));
        const groups = [...new Set([...user.groups, "system:authenticated"])];
        const status = { authenticated: true, user: infoOf({ ...user, groups }) };
        return {
          ...object,
          status: shared.length === 0 ? status : { ...status, audiences: shared },
        };
      },
    ),
  ];
}

/** The rows of authorization.k8s.io. */
export function authorization(): readonly ResourceDefinition[] {
  return [
    virtual<SubjectAccessReview>(
      localSubjectAccessReviews,
      async (object, request, { authorizer }) => {
        const kind = "LocalSubjectAccessReview";
        if (object.spec.resourceAttributes?.namespace !== request.namespace)
          throw new ApiError(
            "BadRequest",
            `spec.resourceAttributes.namespace must match namespace: ${request.namespace}`,
          );
        const user = subjectOf(kind, object.spec);
        return { ...object, status: await decide(authorizer, kind, user, object.spec) };
      },
    ),
    virtual<SelfSubjectAccessReview>(
      selfSubjectAccessReviews,
      async (object, request, { authorizer }) => ({
        ...object,
        status: await decide(authorizer, "SelfSubjectAccessReview", request.user, object.spec),
      }),
    ),
    virtual<SelfSubjectRulesReview>(
      selfSubjectRulesReviews,
      async (object, request, { authorizer }) => {
        const namespace = object.spec?.namespace ?? "";
        if (namespace === "") throw new ApiError("BadRequest", "no namespace on request");
        const rules = authorizer.rulesFor?.(request.user, namespace);
        const { resourceRules = [], nonResourceRules = [], errors = [] } = rules ?? {};
        return {
          ...object,
          status: {
            resourceRules: resourceRules.map((rule) => copyJson<ResourceRule>(rule)),
            nonResourceRules: nonResourceRules.map((rule) => copyJson<NonResourceRule>(rule)),
            incomplete: rules?.isIncomplete ?? true,
            ...(errors.length > 0 && { evaluationError: errors.join(", ") }),
          },
        };
      },
    ),
    virtual<SubjectAccessReview>(subjectAccessReviews, async (object, _request, { authorizer }) => {
      const user = subjectOf("SubjectAccessReview", object.spec);
      const status = await decide(authorizer, "SubjectAccessReview", user, object.spec);
      return { ...object, status };
    }),
  ];
}
