/** `authorizer` in CEL, as the API server answers it. */
import {
  type Answer,
  type Authority,
  CelAuthorizer,
  type Question,
} from "../../schema/cel/library/authorization.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { Authorizer } from "../authorizer.ts";
import type { User } from "../request.ts";

/** The authorizer that expressions about a request see. */
export function authorizerOf(context: AdmissionContext): CelAuthorizer {
  const { authorizer, definition, namespace, name, request, subresource } = context;
  const { group, plural: resource } = definition;
  const asked = { group, resource, subresource, namespace, name };
  return new CelAuthorizer(authorityOf(authorizer, request.user), asked);
}

function authorityOf(authorizer: Authorizer, user: User): Authority {
  return {
    async ask(question: Question): Promise<Answer> {
      const { fieldSelector, labelSelector, ...attributes } = question;
      const selectors = {
        ...(fieldSelector !== "" && { fieldSelector }),
        ...(labelSelector !== "" && { labelSelector }),
      };
      const asked = { ...attributes, ...selectors, user, version: "*" };
      return await authorizer.authorize({ ...asked, isResourceRequest: question.path === "" });
    },
    serviceAccount: (namespace, name) =>
      authorityOf(authorizer, serviceAccountUser(namespace, name)),
  };
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
