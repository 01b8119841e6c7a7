/** Whether a part of an object is what it was before: what did not change stays allowed. */
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { correlated, type Old } from "./ratchet.ts";
import { isJson, memberSchema, type Structural } from "./schema.ts";

interface Pair {
  readonly value: unknown;
  readonly old: unknown;
  readonly schema: Structural | undefined;
}

/** A part and what it was, or, where that cannot be told, the nearest part around that can. */
export class Correlation {
  #isUnchanged: boolean | undefined;

  private constructor(
    private readonly own: Pair | undefined,
    private readonly around: Correlation | undefined,
  ) {}

  static root(value: unknown, old: Old, schema: Structural): Correlation {
    const pair = old === undefined ? undefined : { value, old: old.value, schema };
    return new Correlation(pair, undefined);
  }

  get isUnchanged(): boolean {
    if (this.own === undefined) return this.around?.isUnchanged ?? false;
    this.#isUnchanged ??= semanticEqual(this.own.old, this.own.value);
    return this.#isUnchanged;
  }

  member(name: string): Correlation {
    if (this.own === undefined) return this;
    // Kind and version of the object are never old.
    const isKind = name === "apiVersion" || name === "kind";
    if (this.around === undefined && isKind) return new Correlation(undefined, undefined);
    const { value, old, schema } = this.own;
    const isBoth = isJson(value) && isJson(old) && Object.hasOwn(old, name);
    const pair = isBoth
      ? { value: value[name], old: old[name], schema: memberSchema(schema, name) }
      : undefined;
    return new Correlation(pair, this);
  }

  item(index: number): Correlation {
    if (this.own === undefined) return this;
    const { value, old, schema } = this.own;
    const item = Array.isArray(value) ? value[index] : undefined;
    const before = schema === undefined ? undefined : correlated({ value: old }, schema, item);
    const pair =
      before === undefined ? undefined : { value: item, old: before.value, schema: schema?.items };
    return new Correlation(pair, this);
  }
}
