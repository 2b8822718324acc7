// What the caller gives, before it is sent: names that are not known are refused, and so is what JSON would
// change or leave out without a word.

import { moment, withoutUndefined, type Fields } from "./values.js";

/** The number of changes to a name in which another one is still meant. */
const CHANGES_MAX = 2;
/** Twelve days; a timer that is given 2^31 ms or more ends at once. */
const SPAN_MAX = 2 ** 30;
/** What JSON writes as an object with nothing of it, or with something else. */
const WITHOUT_FORM = [Map, Set, WeakMap, WeakSet, Promise, RegExp, Error, ArrayBuffer];

/** Refuses other fields than these: a message whose `due_at` was dropped would go out now. */
export function known<T extends object>(given: T, names: readonly string[], within?: string): T {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`${within ?? "what has the fields"} is ${shown(given)}; give an object with ${names.join(", ")}`);
  }
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const near = nearest(name, names);
    const remedy = near === undefined ? `the fields are ${names.join(", ")}` : `did you mean "${near}"?`;
    throw new TypeError(`unknown field "${name}"${within === undefined ? "" : ` of ${within}`}: ${remedy}`);
  }
  return given;
}

/** The fields of the table under the names that the API has for them, without those that were not given. */
export function renamed(given: object, names: Readonly<Record<string, string>>): Fields {
  const values = given as Fields;
  const found = Object.entries(names).map(([name, written]) => {
    const value = values[name];
    return [written, value instanceof Date ? moment(value, name) : value] as const;
  });
  return withoutUndefined(Object.fromEntries(found));
}

/** A number of milliseconds or seconds among the options, at most `SPAN_MAX`; `fallback` if it is not given. */
export function span(given: number | undefined, name: string, fallback?: number): number {
  const value = given ?? fallback;
  if (typeof value === "number" && value >= 0) return Math.min(value, SPAN_MAX);
  throw new RangeError(`${name} is ${shown(given)}; give a number that is not below 0`);
}

/**
 * Writes JSON. A property that is undefined is left out, as everywhere in JavaScript; anything else that JSON
 * cannot express is refused with a pointer to it.
 */
export function write(value: unknown): string {
  const pointers = new Map<unknown, string>();
  return JSON.stringify(value, function (this: Record<string, unknown>, key: string, made: unknown) {
    const within = pointers.get(this);
    const pointer = within === undefined ? "" : `${within}/${key.replace(/~/g, "~0").replace(/\//g, "~1")}`;
    const before = this[key];
    const isLeftOut = made === undefined && within !== undefined && !Array.isArray(this);
    if (!isLeftOut && (!hasForm(made) || isChangedByItself(before))) {
      const remedy = "give what has a form in JSON, such as null, a text, a number, an array or an object";
      throw new TypeError(`${pointer || "the value"} is ${shown(before)}, which JSON cannot express; ${remedy}`);
    }
    if (typeof made === "object" && made !== null) pointers.set(made, pointer);
    return made;
  });
}

function hasForm(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (["undefined", "function", "symbol", "bigint"].includes(typeof value)) return false;
  return !ArrayBuffer.isView(value) && !WITHOUT_FORM.some((kind) => value instanceof kind);
}

/** What its own `toJSON` makes another value of: a date that is none is null, and bytes are an object. */
function isChangedByItself(value: unknown): boolean {
  return ArrayBuffer.isView(value) || (value instanceof Date && Number.isNaN(value.getTime()));
}

/** What a value is, for an error. */
export function shown(value: unknown): string {
  if (value === null || ["undefined", "number", "boolean"].includes(typeof value)) return String(value);
  if (typeof value === "string") return `the text "${value}"`;
  if (typeof value !== "object") return `a ${typeof value}`;
  if (value instanceof Date && Number.isNaN(value.getTime())) return "a Date that is not valid";
  if (Object.getPrototypeOf(value) === Object.prototype) return "an object";
  return `of the class ${(value.constructor as { name?: string } | undefined)?.name ?? "Object"}`;
}

function nearest(name: string, names: readonly string[]): string | undefined {
  const camel = name.replace(/[_-]([a-z])/gi, (_, letter: string) => letter.toUpperCase());
  const ranked = names.map((each) => ({ each, changes: changesBetween(camel, each) }));
  const [best] = ranked.sort((a, b) => a.changes - b.changes);
  return best !== undefined && best.changes <= CHANGES_MAX && best.changes < best.each.length / 2 ? best.each : undefined;
}

/** How many letters are added, dropped, changed, or swapped with the next one. */
function changesBetween(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const changed = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (isSame ? 0 : 1));
      row.push(isSwapped ? Math.min(changed, (before[j - 2] ?? 0) + 1) : changed);
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
