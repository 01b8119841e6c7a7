/** Checks an applied configuration against its type, with the words of upstream's checker. */
import type { MergeList, MergeMap, MergeType } from "./merge-type.ts";
import { fieldElement, pathText } from "./path-element.ts";
import { BadItem, isObject, itemElement } from "./typed-value.ts";

/** What is wrong with `value`, each with its path; lists that merge hold nothing twice. */
export function validateValue(type: MergeType, value: unknown): readonly string[] {
  const walk = new ValidateWalk();
  walk.value(type, value);
  return walk.problems;
}

/** The problems as one text. */
export function problemsText(problems: readonly string[]): string {
  if (problems.length === 1) return problems[0] ?? "";
  return ["errors:", ...problems.map((problem) => `  ${problem}`)].join("\n");
}

class ValidateWalk {
  readonly problems: string[] = [];
  readonly #path: string[] = [];

  value(type: MergeType, value: unknown): void {
    if (value === null || value === undefined) return;
    switch (type.type) {
      case "deduced":
        return;
      case "scalar":
        this.#scalar(type.scalar, value);
        return;
      case "list":
        if (Array.isArray(value)) this.#list(type, value);
        else this.#tell(`expected list, got ${goValue(value)}`);
        return;
      case "map":
        if (isObject(value)) this.#map(type, value);
        else this.#tell(`expected map, got ${goValue(value)}`);
    }
  }

  #scalar(scalar: (MergeType & { type: "scalar" })["scalar"], value: unknown): void {
    switch (scalar) {
      case "numeric":
        if (typeof value !== "number" && typeof value !== "bigint") {
          this.#tell(`expected numeric (int or float), got ${goType(value)}`);
        }
        return;
      case "string":
        if (typeof value !== "string") {
          this.#tell(`expected string, got &value.valueUnstructured{Value:${goSyntax(value)}}`);
        }
        return;
      case "boolean":
        if (typeof value !== "boolean") this.#tell(`expected boolean, got ${goValue(value)}`);
        return;
      case "untyped":
        if (typeof value === "object") this.#tell("schema error: invalid atom: inlined");
    }
  }

  #list(type: MergeList, list: readonly unknown[]): void {
    const seen = new Set<string>();
    for (const [index, item] of list.entries()) {
      let element = `i:${index}`;
      if (!type.atomic) {
        const named = this.#element(type, index, item);
        if (named === undefined) return;
        element = named;
        if (seen.has(element)) this.#tell(`duplicate entries for key ${pathText([element])}`);
        seen.add(element);
      }
      this.#path.push(element);
      this.value(type.items, item);
      this.#path.pop();
    }
  }

  #element(type: MergeList, index: number, item: unknown): string | undefined {
    try {
      return itemElement(type, item);
    } catch (error) {
      if (!(error instanceof BadItem)) throw error;
      this.#tell(`element ${index}: ${error.message}`);
      return undefined;
    }
  }

  #map(type: MergeMap, map: Readonly<Record<string, unknown>>): void {
    for (const name of Object.keys(map)) {
      this.#path.push(fieldElement(name));
      const member = type.member(name);
      if (member === undefined) this.#tell("field not declared in schema");
      else this.value(member, map[name]);
      this.#path.pop();
    }
  }

  #tell(message: string): void {
    const path = pathText(this.#path);
    this.problems.push(path === "" ? message : `${path}: ${message}`);
  }
}

/** Go's `%T`. */
function goType(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "boolean") return "bool";
  return typeof value === "object" ? "map[string]interface {}" : typeof value;
}

/** Go's `%v` of a value behind a pointer. */
function goValue(value: unknown): string {
  return `&{${goText(value)}}`;
}

/** Go's `%v` of a JSON value. */
export function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (!isObject(value)) return String(value ?? "<nil>");
  const names = Object.keys(value).sort();
  return `map[${names.map((name) => `${name}:${goText(value[name])}`).join(" ")}]`;
}

/** Go's `%#v`. */
function goSyntax(value: unknown): string {
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSyntax).join(", ")}}`;
  if (!isObject(value)) return JSON.stringify(value);
  const names = Object.keys(value).sort();
  const members = names.map((name) => `${JSON.stringify(name)}:${goSyntax(value[name])}`);
  return `map[string]interface {}{${members.join(", ")}}`;
}
