/** Lists and maps of resource.k8s.io: none too long, nothing twice, every item as it must be. */
import type { FieldError } from "../../api/resource-definition.ts";
import { duplicate, tooMany } from "../field-errors.ts";

type Items<T> = readonly T[] | undefined;

/** The errors of the items; of a list that is too long only that. */
export function validateList<T>(
  items: Items<T>,
  max: number,
  field: string,
  validate: (item: T, field: string) => readonly FieldError[],
): FieldError[] {
  const given = items ?? [];
  if (given.length > max) return [tooMany(field, given.length, max)];
  return given.flatMap((item, index) => validate(item, `${field}[${index}]`));
}

/** As `validateList`; no two items may have the same key. */
export function validateSet<T>(
  items: Items<T>,
  max: number,
  field: string,
  rules: {
    readonly key: (item: T) => unknown;
    readonly validate: (item: T, field: string) => readonly FieldError[];
    /** What is told of an item that is there twice; its key, where nothing else is said. */
    readonly shown?: unknown;
  },
): FieldError[] {
  const errors = validateList(items, max, field, rules.validate);
  if ((items ?? []).length > max) return errors;
  const seen = new Set<unknown>();
  (items ?? []).forEach((item, index) => {
    const key = rules.key(item);
    if (seen.has(key)) errors.push(duplicate(`${field}[${index}]`, rules.shown ?? key));
    seen.add(key);
  });
  return errors;
}

const limits = { shownKeyMin: 16 } as const;

function shortened(key: string, max: number): string {
  const most = Math.max(max, limits.shownKeyMin);
  if (key.length <= most) return key;
  const rest = most - "...".length;
  return `${key.slice(0, Math.ceil(rest / 2))}...${key.slice(key.length - Math.floor(rest / 2))}`;
}

/** The errors of keys and values; of a map that is too large only that. */
export function validateMap<T>(
  map: Readonly<Record<string, T>> | undefined,
  { max, shownKeyMax }: { readonly max?: number; readonly shownKeyMax: number },
  field: string,
  validateKey: (key: string, field: string) => readonly FieldError[],
  validate: (value: T, field: string) => readonly FieldError[] = () => [],
): FieldError[] {
  const entries = Object.entries(map ?? {});
  if (max !== undefined && entries.length > max) return [tooMany(field, entries.length, max)];
  return entries.flatMap(([key, value]) => [
    ...validateKey(key, field),
    ...validate(value, `${field}[${shortened(key, shownKeyMax)}]`),
  ]);
}
