/** Whether one type may stand where another is wanted; binds type parameters on the way. */
import { type CelType, dyn, isExact, listOf, mapOf, typeOf } from "./types.ts";

export class Substitutions {
  readonly #bound = new Map<string, CelType>();
  readonly #trail: [name: string, before: CelType | undefined][] = [];
  #fresh = 0;

  /** A type parameter that nothing is known about yet. */
  variable(): CelType {
    return { kind: "param", name: `_var${this.#fresh++}`, params: [] };
  }

  /** True when `from` may be given for `to`; then, and only then, parameters are bound. */
  isAssignable(from: CelType, to: CelType): boolean {
    return this.areAssignable([from], [to]);
  }

  areAssignable(from: readonly CelType[], to: readonly CelType[]): boolean {
    const mark = this.#trail.length;
    if (this.#all(from, to)) return true;
    while (this.#trail.length > mark) {
      const [name, before] = this.#trail.pop() as [string, CelType | undefined];
      if (before === undefined) this.#bound.delete(name);
      else this.#bound.set(name, before);
    }
    return false;
  }

  /** `type` with what is known of its parameters; the rest becomes dyn if `isFinal`. */
  resolve(type: CelType, isFinal = false): CelType {
    const bound = type.kind === "param" ? this.#bound.get(type.name) : undefined;
    if (bound !== undefined) return this.resolve(bound, isFinal);
    if (type.kind === "param") return isFinal ? dyn : type;
    const [first, second] = type.params;
    if (first === undefined) return type;
    if (type.kind === "list") return listOf(this.resolve(first, isFinal));
    if (type.kind === "map") {
      return mapOf(this.resolve(first, isFinal), this.resolve(second ?? dyn, isFinal));
    }
    if (type.kind === "type") return typeOf(this.resolve(first, isFinal));
    return { ...type, params: type.params.map((one) => this.resolve(one, isFinal)) };
  }

  #bind(name: string, type: CelType): void {
    this.#trail.push([name, this.#bound.get(name)]);
    this.#bound.set(name, type);
  }

  #all(from: readonly CelType[], to: readonly CelType[]): boolean {
    if (from.length !== to.length) return false;
    return from.every((one, index) => this.#one(one, to[index] as CelType));
  }

  #one(a: CelType, b: CelType): boolean {
    if (b.kind === "param") {
      const outcome = this.#substitute(a, b);
      if (outcome !== "clash-unbound") return outcome === "fits";
    }
    if (a.kind === "param") return this.#substitute(b, a) === "fits";
    if (isLoose(a) || isLoose(b)) return true;
    if (a.kind === "null") return isNullable(b);
    if (b.kind === "null") return isNullable(a);
    switch (a.kind) {
      case "type":
        return b.kind === "type";
      case "opaque":
      case "list":
      case "map":
        return a.kind === b.kind && a.name === b.name && this.#all(a.params, b.params);
      default:
        return a.kind === b.kind && a.name === b.name;
    }
  }

  #substitute(type: CelType, parameter: CelType): "fits" | "clash" | "clash-unbound" {
    if (isExact(type, parameter)) return "fits";
    const bound = this.#bound.get(parameter.name);
    if (bound !== undefined) {
      if (isExact(type, bound)) return "fits";
      if (!this.#one(type, bound)) return "clash";
      const wider = mostGeneral(type, bound);
      if (!this.#refersTo(parameter, wider)) this.#bind(parameter.name, wider);
      return "fits";
    }
    if (this.#refersTo(parameter, type)) return "clash-unbound";
    this.#bind(parameter.name, type);
    return "fits";
  }

  /** A parameter must not be bound to a type that it is part of. */
  #refersTo(parameter: CelType, type: CelType): boolean {
    if (isExact(parameter, type)) return true;
    if (type.kind === "param") {
      const bound = this.#bound.get(type.name);
      return bound !== undefined && this.#refersTo(parameter, bound);
    }
    return type.params.some((one) => this.#refersTo(parameter, one));
  }
}

function isLoose({ kind }: CelType): boolean {
  return kind === "dyn" || kind === "error";
}

/** Null goes where an object goes. */
function isNullable({ kind }: CelType): boolean {
  return ["opaque", "struct", "duration", "timestamp", "null"].includes(kind);
}

/** The one of two types that takes more. */
export function mostGeneral(a: CelType, b: CelType): CelType {
  return isLessSpecific(a, b) ? a : b;
}

function isLessSpecific(a: CelType, b: CelType): boolean {
  if (a.kind === "dyn" || a.kind === "param") return true;
  if (b.kind === "dyn" || b.kind === "param" || a.kind !== b.kind) return false;
  if (a.kind === "type") return true;
  if (a.params.length === 0) return isExact(a, b);
  if (a.name !== b.name || a.params.length !== b.params.length) return false;
  return a.params.every((one, index) => isLessSpecific(one, b.params[index] as CelType));
}
