/** authentication.k8s.io and authorization.k8s.io v1: questions, answered but never stored. */
import {
  type NoteCredential,
  type OtherTokens,
  userOfToken,
  type VerifyToken,
} from "../api/auth/token-user.ts";
import type { Attributes, Authorizer } from "../api/authorizer.ts";
import { invalid } from "../api/errors.ts";
import { timestamp } from "../api/object-meta.ts";
import type { User } from "../api/request.ts";
import type { FieldError, ResourceDefinition } from "../api/resource-definition.ts";
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
  NonResourceAttributes,
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
import { invalid as fieldInvalid } from "./field-errors.ts";
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

/** Upstream leaves the kind of a review out of its errors. */
const review = { group: "authorization.k8s.io", plural: "", kind: "" };

/** What a review must say: what is asked, of which kind, and about whom. */
function specErrors(spec: SubjectAccessReviewSpec, needsSubject: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const { resourceAttributes, nonResourceAttributes, user = "", groups } = spec;
  if (resourceAttributes && nonResourceAttributes)
    errors.push(
      fieldInvalid(
        "spec.nonResourceAttributes",
        internalPath(nonResourceAttributes),
        "cannot be specified in combination with resourceAttributes",
      ),
    );
  if (!resourceAttributes && !nonResourceAttributes)
    errors.push(
      fieldInvalid(
        "spec.resourceAttributes",
        null,
        "exactly one of nonResourceAttributes or resourceAttributes must be specified",
      ),
    );
  if (needsSubject && user === "" && (groups ?? []).length === 0)
    errors.push(fieldInvalid("spec.user", user, "at least one of user or group must be specified"));
  return errors;
}

/** As upstream's internal form, which has no JSON names, is shown in errors. */
function internalPath({ path = "", verb = "" }: NonResourceAttributes) {
  return { Path: path, Verb: verb };
}

/** A review is no object, but for the record of who wrote it. */
function metadataErrors(object: KubeObject, except: string): FieldError[] {
  const { managedFields: _, namespace, ...rest } = object.metadata;
  const others = except === "" ? { ...rest, ...(namespace && { namespace }) } : rest;
  if (Object.keys(others).length === 0) return [];
  return [fieldInvalid("metadata", object.metadata, `must be empty${except}`)];
}

function refuse(errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalid(review, "", errors);
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
  user: User,
  spec: SubjectAccessReviewSpec,
): Promise<SubjectAccessReviewStatus> {
  const decision = await authorizer.authorize(attributesOf(user, spec));
  const { allowed, isFinal = false, reason, error } = decision;
  return {
    allowed,
    ...(isFinal && !allowed && { denied: true }),
    ...(reason !== "" && { reason }),
    ...(error !== undefined && { evaluationError: error }),
  };
}

function subjectOf(spec: SubjectAccessReviewSpec): User {
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
    virtual<SelfSubjectReview>(selfSubjectReviews, async (object, request, { runtime }) => ({
      ...object,
      metadata: { ...object.metadata, creationTimestamp: timestamp(runtime.clock.now()) },
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
        const { resourceAttributes: about, nonResourceAttributes: path } = object.spec;
        const errors = specErrors(object.spec, true);
        errors.push(...metadataErrors(object, " except for namespace"));
        if (about && (about.namespace ?? "") !== request.namespace)
          errors.push(
            fieldInvalid(
              "spec.resourceAttributes.namespace",
              about.namespace ?? "",
              "must match metadata.namespace",
            ),
          );
        if (path)
          errors.push(
            fieldInvalid(
              "spec.nonResourceAttributes",
              internalPath(path),
              "disallowed on this kind of request",
            ),
          );
        refuse(errors);
        const user = subjectOf(object.spec);
        return { ...object, status: await decide(authorizer, user, object.spec) };
      },
    ),
    virtual<SelfSubjectAccessReview>(
      selfSubjectAccessReviews,
      async (object, request, { authorizer }) => {
        refuse([...specErrors(object.spec, false), ...metadataErrors(object, "")]);
        return { ...object, status: await decide(authorizer, request.user, object.spec) };
      },
    ),
    virtual<SelfSubjectRulesReview>(
      selfSubjectRulesReviews,
      async (object, request, { authorizer }) => {
        const namespace = object.spec?.namespace ?? "";
        if (namespace === "") throw new ApiError("BadRequest", "no namespace on request");
        const rules = authorizer.rulesFor?.(request.user, namespace);
        const { resourceRules = [], nonResourceRules = [], errors = [] } = rules ?? {};
        // Who asked what is not told again.
        return {
          ...object,
          metadata: {},
          spec: {},
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
      refuse([...specErrors(object.spec, true), ...metadataErrors(object, "")]);
      const status = await decide(authorizer, subjectOf(object.spec), object.spec);
      return { ...object, status };
    }),
  ];
}
