/**
 * Impersonation: acting as someone else, when allowed to. Beside the verb `impersonate`, which
 * allows everything at once, there are modes in which it is bounded to users of one kind and to
 * what is done as them (KEP-5284): these are asked for first.
 */
import { type ApiError, isReason } from "../../lib/api-error.ts";
import { ExpiringCache } from "../../lib/expiring-cache.ts";
import { subdomainErrors } from "../../lib/names.ts";
import type { Attributes, Authorizer, Impersonate, Impersonation } from "../authorizer.ts";
import { forbidden } from "../errors.ts";
import type { User } from "../request.ts";
import { impersonationOf } from "./impersonation-request.ts";

const limits = {
  /** From so many on it is worth asking for all at once first. */
  checksInLoop: 4,
  modesRemembered: 10_000,
} as const;
const accountPrefix = "system:serviceaccount:";
const nodePrefix = "system:node:";
const nodeNameKey = "authentication.kubernetes.io/node-name";
const authentication = "authentication.k8s.io";

type ModeName = "associated-node" | "arbitrary-node" | "serviceaccount" | "user-info";

interface Mode {
  /** Undefined is the old way, without bounds. */
  readonly name: ModeName | undefined;
  /** Whether the mode is about this user at all. */
  readonly fits: (wanted: User, requestor: User) => boolean;
}

const modes: readonly Mode[] = [
  {
    name: "associated-node",
    fits: (wanted, requestor) =>
      hasOnlyName(wanted) &&
      nodeOf(wanted.name) !== undefined &&
      accountOf(requestor.name) !== undefined &&
      requestor.extra[nodeNameKey]?.length === 1 &&
      requestor.extra[nodeNameKey][0] === nodeOf(wanted.name),
  },
  {
    name: "arbitrary-node",
    fits: (wanted) => hasOnlyName(wanted) && nodeOf(wanted.name) !== undefined,
  },
  {
    name: "serviceaccount",
    fits: (wanted) => hasOnlyName(wanted) && accountOf(wanted.name) !== undefined,
  },
  {
    name: "user-info",
    fits: ({ name }) => nodeOf(name) === undefined && accountOf(name) === undefined,
  },
  { name: undefined, fits: () => true },
];

/** Becomes the impersonated user when the headers ask for one and that is allowed. */
export function createImpersonate(authorizer: Authorizer): Impersonate {
  /** The mode that worked last for a user is the likeliest to work again. */
  const last = new ExpiringCache<Mode>(limits.modesRemembered, () => 0);
  return async (user, headers, attributes) => {
    const wanted = impersonationOf(headers);
    if (wanted === undefined) return undefined;
    const first = last.get(user.name);
    const order = first === undefined ? modes : [first, ...modes.filter((one) => one !== first)];
    let refusal: ApiError | undefined;
    for (const mode of order) {
      if (!mode.fits(wanted, user)) continue;
      try {
        const found = await tryMode(authorizer, mode.name, wanted, attributes());
        last.set(user.name, mode, Number.POSITIVE_INFINITY);
        return found;
      } catch (error) {
        if (!isReason(error, "Forbidden")) throw error;
        refusal ??= error as ApiError;
      }
    }
    throw refusal ?? new Error("all impersonation modes failed");
  };
}

async function tryMode(
  authorizer: Authorizer,
  mode: ModeName | undefined,
  wanted: User,
  attributes: Attributes,
): Promise<Impersonation> {
  const { user } = attributes;
  const requestor = mode === "associated-node" ? withoutExtra(user) : user;
  if (mode !== undefined) {
    const verb = `impersonate-on:${mode}:${attributes.verb}`;
    await check(authorizer, { ...attributes, user: requestor, verb });
  }
  const asker = new Asker(authorizer, requestor, mode);
  const groups = await asker.name(wanted);
  await asker.uid(wanted.uid);
  await asker.groups(wanted.groups);
  await asker.extra(wanted.extra);
  const constraint = mode === undefined ? "" : `impersonate:${mode}`;
  return { user: { ...wanted, groups: completed(wanted.name, groups) }, constraint };
}

/** Everything that must be allowed before one user may act as another, in one mode. */
class Asker {
  readonly #verb: string;
  /** Users and groups were in the core group before there were modes. */
  readonly #group: string;

  constructor(
    private readonly authorizer: Authorizer,
    private readonly user: User,
    private readonly mode: ModeName | undefined,
  ) {
    this.#verb = mode === undefined ? "impersonate" : `impersonate:${mode}`;
    this.#group = mode === undefined ? "" : authentication;
  }

  /** The groups that come with the name, unless others are asked for. */
  async name({ name, groups }: User): Promise<readonly string[]> {
    const node = this.mode === undefined ? undefined : nodeOf(name);
    const account = accountOf(name);
    if (node !== undefined) {
      // Whoever may act as its own node may do so on every node it runs on.
      const asked = this.mode === "associated-node" ? "*" : node;
      await this.#ask({ group: this.#group, resource: "nodes", name: asked });
      return ["system:nodes"];
    }
    if (account === undefined) {
      await this.#ask({ group: this.#group, resource: "users", name });
      return groups;
    }
    const { namespace } = account;
    await this.#ask({ group: this.#group, resource: "serviceaccounts", ...account });
    if (groups.length > 0) return groups;
    return ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
  }

  async uid(uid: string): Promise<void> {
    if (uid !== "") await this.#ask({ group: authentication, resource: "uids", name: uid });
  }

  async groups(groups: readonly string[]): Promise<void> {
    const about = { group: this.#group, resource: "groups" };
    const isBounded = this.mode !== undefined;
    if (isBounded && groups.includes("system:masters")) {
      const name = "system:masters";
      const why = "impersonating the system:masters group is not allowed";
      throw forbidden(this.#question({ ...about, name }), why);
    }
    if (isBounded && groups.length >= limits.checksInLoop) {
      if (await this.#allows({ ...about, name: "*" })) return;
    }
    for (const name of groups) await this.#ask({ ...about, name });
  }

  async extra(extra: User["extra"]): Promise<void> {
    const about = { group: authentication, resource: "userextras" };
    const pairs = Object.entries(extra).flatMap(([subresource, values]) =>
      values.map((name) => ({ ...about, subresource, name })),
    );
    if (this.mode !== undefined) {
      const problem = extraProblem(extra);
      if (problem !== undefined) throw forbidden(this.#question(about), problem);
      const isMuch = pairs.length >= limits.checksInLoop;
      if (isMuch && (await this.#allows({ ...about, subresource: "*", name: "*" }))) return;
    }
    for (const pair of pairs) await this.#ask(pair);
  }

  #question(about: Partial<Attributes>): Attributes {
    return {
      user: this.user,
      verb: this.#verb,
      group: "",
      version: "v1",
      resource: "",
      subresource: "",
      namespace: "",
      name: "",
      path: "",
      isResourceRequest: true,
      ...about,
    };
  }

  #ask(about: Partial<Attributes>): Promise<void> {
    return check(this.authorizer, this.#question(about));
  }

  async #allows(about: Partial<Attributes>): Promise<boolean> {
    return (await this.authorizer.authorize(this.#question(about))).allowed;
  }
}

async function check(authorizer: Authorizer, attributes: Attributes): Promise<void> {
  const { allowed, reason, error } = await authorizer.authorize(attributes);
  if (allowed) return;
  const why = [error ?? "", reason].filter((text) => text !== "").join(": ");
  throw forbidden(attributes, why);
}

/** The last group says whether anybody is known to be there. */
function completed(name: string, groups: readonly string[]): readonly string[] {
  const [known, unknown] = ["system:authenticated", "system:unauthenticated"];
  const last = name === "system:anonymous" ? unknown : known;
  return groups.includes(unknown) || groups.includes(last) ? groups : [...groups, last];
}

/** Which pod of a service account asks makes no difference: only which keys it has. */
function withoutExtra(user: User): User {
  const keys = Object.keys(user.extra).sort();
  return { ...user, extra: { "authentication.kubernetes.io/associated-node-keys": keys } };
}

function hasOnlyName({ uid, groups, extra }: User): boolean {
  return uid === "" && groups.length === 0 && Object.keys(extra).length === 0;
}

function nodeOf(name: string): string | undefined {
  if (!name.startsWith(nodePrefix)) return undefined;
  const node = name.slice(nodePrefix.length);
  return subdomainErrors(node).length === 0 ? node : undefined;
}

function accountOf(
  user: string,
): { readonly namespace: string; readonly name: string } | undefined {
  if (!user.startsWith(accountPrefix)) return undefined;
  const [namespace = "", name = "", more] = user.slice(accountPrefix.length).split(":");
  return namespace === "" || name === "" || more !== undefined ? undefined : { namespace, name };
}

/** Upstream is stricter here than it is without a mode. */
function extraProblem(extra: User["extra"]): string | undefined {
  for (const [key, values] of Object.entries(extra)) {
    const [domain = "", ...rest] = key.split("/");
    if (key === "") return "impersonating the empty string key in extra is not allowed";
    if (rest.join("/") === "" || subdomainErrors(domain).length > 0) {
      const why = 'must be a domain-prefixed path (such as "acme.io/foo")';
      const text = `extra.key: Invalid value: ${JSON.stringify(key)}: ${why}`;
      return `impersonating an invalid key in extra is not allowed: ${text}`;
    }
    if (values.length === 0) return "impersonating empty values in extra is not allowed";
  }
  return undefined;
}
