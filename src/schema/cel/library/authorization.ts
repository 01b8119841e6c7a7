/** `authorizer`: asks what the user of a request may do besides it (KEP-3488). */
import type { Functions } from "../check/functions.ts";
import { type CelType, nameType, string, struct } from "../check/types.ts";
import { CelFault, Pending } from "../fault.ts";
import { CelOpaque } from "../run/values.ts";

/** What is asked: a resource, or a path. */
export interface Question {
  readonly verb: string;
  readonly path: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldSelector: string;
  readonly labelSelector: string;
}

export interface Answer {
  readonly allowed: boolean;
  readonly reason: string;
  /** Why there is no real answer. */
  readonly error?: string | undefined;
}

/** Answers questions of one user; asked once for each question. */
export interface Authority {
  ask(question: Question): Promise<Answer>;
  /** The authority over a service account. */
  serviceAccount(namespace: string, name: string): Authority;
}

const nothing: Question = {
  verb: "",
  path: "",
  group: "",
  resource: "",
  subresource: "",
  namespace: "",
  name: "",
  fieldSelector: "",
  labelSelector: "",
};

const prefix = "kubernetes.authorization";
const resourceType = nameType(struct(`${prefix}.ResourceCheck`));
const decisionType = nameType(struct(`${prefix}.Decision`));
const pathType = nameType(struct(`${prefix}.PathCheck`));
const groupType = nameType(struct(`${prefix}.GroupCheck`));
/** The type of the variable; `requestResource` stands for the request itself. */
export const authorizerType: CelType = nameType(
  struct(`${prefix}.Authorizer`, new Map([["requestResource", { type: resourceType }]])),
);

/** Two are equal when they are the same. */
abstract class Asker extends CelOpaque {
  override equals(other: CelOpaque): boolean {
    return other === this;
  }
}

class Decision extends Asker {
  override readonly typeName = decisionType.name;
  constructor(readonly answer: Answer) {
    super();
  }
}

class Check extends Asker {
  constructor(
    override readonly typeName: string,
    readonly by: CelAuthorizer,
    readonly question: Question,
  ) {
    super();
  }
  with(more: Partial<Question>): Check {
    return new Check(this.typeName, this.by, { ...this.question, ...more });
  }
}

export class CelAuthorizer extends Asker {
  override readonly typeName = authorizerType.name;
  readonly #answers = new Map<string, Answer>();
  readonly #accounts = new Map<string, CelAuthorizer>();

  constructor(
    private readonly authority: Authority,
    private readonly request: Partial<Question> = {},
  ) {
    super();
  }

  override field(name: string): unknown {
    if (name !== "requestResource") return undefined;
    return new Check(resourceType.name, this, { ...nothing, ...this.request });
  }

  account(namespace: string, name: string): CelAuthorizer {
    const key = `${namespace}/${name}`;
    const known = this.#accounts.get(key);
    if (known !== undefined) return known;
    const account = new CelAuthorizer(this.authority.serviceAccount(namespace, name));
    this.#accounts.set(key, account);
    return account;
  }

  /** @throws Pending until the answer is there. */
  decide(question: Question): Decision {
    const key = JSON.stringify(question);
    const known = this.#answers.get(key);
    if (known !== undefined) return new Decision(known);
    const failed = (error: unknown): Answer => ({
      allowed: false,
      reason: "",
      error: error instanceof Error ? error.message : String(error),
    });
    const answer = this.authority.ask(question).catch(failed);
    throw new Pending(answer.then((one) => this.#answers.set(key, one)));
  }
}

export function registerAuthorization(functions: Functions): void {
  const authorizer = authorizerType.name;
  functions
    .add(`${authorizer}->path(string): ${pathType.name}`, (by: CelAuthorizer, path: string) => {
      if (path === "") throw new CelFault("path must not be empty");
      return new Check(pathType.name, by, { ...nothing, path });
    })
    .add(`${authorizer}->group(string): ${groupType.name}`, (by: CelAuthorizer, group: string) => {
      return new Check(groupType.name, by, { ...nothing, group });
    })
    .add(
      `${authorizer}->serviceAccount(string, string): ${authorizer}`,
      (by: CelAuthorizer, namespace: string, name: string) => by.account(namespace, name),
    )
    .add(
      `${groupType.name}->resource(string): ${resourceType.name}`,
      ({ by, question }: Check, resource: string) =>
        new Check(resourceType.name, by, { ...question, resource }),
    );
  for (const part of [
    "subresource",
    "namespace",
    "name",
    "fieldSelector",
    "labelSelector",
  ] as const) {
    functions.add(
      `${resourceType.name}->${part}(string): ${resourceType.name}`,
      (of: Check, text: string) => of.with({ [part]: text }),
    );
  }
  for (const { name } of [pathType, resourceType]) {
    functions.add(
      `${name}->check(${string.name}): ${decisionType.name}`,
      ({ by, question }: Check, verb: string) => by.decide({ ...question, verb }),
    );
  }
  functions
    .add(`${decisionType.name}->allowed(): bool`, ({ answer }: Decision) => answer.allowed)
    .add(`${decisionType.name}->reason(): string`, ({ answer }: Decision) => answer.reason)
    .add(`${decisionType.name}->errored(): bool`, ({ answer }: Decision) => {
      return answer.error !== undefined;
    })
    .add(`${decisionType.name}->error(): string`, ({ answer }: Decision) => answer.error ?? "");
}
