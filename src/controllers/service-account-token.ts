/** Fills Secrets of type kubernetes.io/service-account-token, and deletes them with the account. */
import { secrets, serviceAccounts } from "../client/resources.ts";
import type { Secret, ServiceAccount } from "../gen/core-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../live/controller.ts";
import { mutable } from "./objects.ts";

const tokenType = "kubernetes.io/service-account-token";
const nameAnnotation = "kubernetes.io/service-account.name";
const uidAnnotation = "kubernetes.io/service-account.uid";
const byAccount = "service account of a token";

export interface TokenSecretOptions {
  /** PEM of the CA that signs serving certificates. */
  readonly rootCa: string;
  readonly signSecretToken: (claims: {
    readonly namespace: string;
    readonly serviceAccount: { readonly name: string; readonly uid: string };
    readonly secretName: string;
  }) => Promise<string>;
}

function accountOf(secret: DeepReadonly<Secret>): string | undefined {
  if (secret.type !== tokenType) return undefined;
  return secret.metadata.annotations?.[nameAnnotation] || undefined;
}

export function createTokenSecretController(
  context: Pick<ControllerContext, "client" | "live">,
  options: TokenSecretOptions,
): Controller {
  const { client, live } = context;
  const secretSet = live.of(secrets);
  secretSet.addIndex(byAccount, (secret) => {
    const name = accountOf(secret);
    return name === undefined ? [] : [`${secret.metadata.namespace}/${name}`];
  });

  /** From the API, as the LiveSet may not know yet of an account that was just made. */
  async function readAccount(namespace: string, name: string): Promise<ServiceAccount | undefined> {
    try {
      return await client.get(serviceAccounts, namespace, name);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
      return undefined;
    }
  }

  async function remove({ metadata }: DeepReadonly<Secret>): Promise<void> {
    const { namespace = "", name = "", uid } = metadata;
    try {
      await client.delete(secrets, namespace, name, {
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      });
    } catch (error) {
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }

  return {
    name: "serviceaccount-token",
    concurrent: 2,
    watches: [
      watchRule(secrets, ({ now }) => (accountOf(now.object) === undefined ? [] : [now.key])),
      watchRule(serviceAccounts, ({ now }) =>
        [...secretSet.by(byAccount, now.key)].map(({ key }) => key),
      ),
    ],
    async reconcile(key) {
      const secret = secretSet.get(key)?.object;
      if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return "done";
      const { namespace = "", name: secretName = "", annotations = {} } = secret.metadata;
      const name = accountOf(secret);
      if (name === undefined) return "done";
      const account = await readAccount(namespace, name);
      const uid = account?.metadata.uid ?? "";
      const asked = annotations[uidAnnotation] ?? "";
      if (account === undefined || (asked !== "" && asked !== uid)) {
        await remove(secret);
        return "done";
      }
      const claims = { namespace, serviceAccount: { name, uid }, secretName };
      const data = {
        "ca.crt": base64(options.rootCa),
        namespace: base64(namespace),
        token: secret.data?.token || base64(await options.signSecretToken(claims)),
      };
      const isFilled = Object.entries(data).every(([field, text]) => secret.data?.[field] === text);
      if (isFilled && asked === uid) return "done";
      const next = mutable<Secret>(secret);
      next.metadata.annotations = { ...next.metadata.annotations, [uidAnnotation]: uid };
      next.data = { ...next.data, ...data };
      await client.update(secrets, next);
      return "done";
    },
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
