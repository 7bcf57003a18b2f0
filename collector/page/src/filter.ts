// The filter: what is typed, what it means, and which events meet it.
//
//   any  := all ("or" all)*
//   all  := one ("and"? one)*
//   one  := "not" one | "(" any ")" | FIELD OP VALUE | TEXT
//   OP   := "=" | "!=" | "~" | "!~" | "<" | "<=" | ">" | ">="
//
// Fields are those of `jsonl`. Of a field that an event does not have every comparison is false, `!=` too:
// `error!=ENOENT` asks for other failures. `not error=ENOENT` is true of all other events.

import { NUMBER, type Store } from "./store.ts";
import type { Processes } from "./processes.ts";

export type Op = "=" | "!=" | "~" | "!~" | "<" | "<=" | ">" | ">=";
export type Query =
  | { is: "all" }
  | { is: "text"; text: string }
  | { is: "field"; field: string; op: Op; value: string; at: number }
  | { is: "not"; of: Query }
  | { is: "and" | "or"; left: Query; right: Query };

/** What is wrong, and where. */
export class Wrong extends Error {
  constructor(
    message: string,
    readonly at: number,
  ) {
    super(message);
  }
}

interface Token {
  /** `word` is bare text, in which `and`, `or` and `not` count; `text` stood in quotes. */
  is: "word" | "text" | "(" | ")" | "op" | "end";
  text: string;
  at: number;
  /** Whether white space stands in front. */
  isApart: boolean;
}

const OPS = ["!=", "!~", "<=", ">=", "=", "~", "<", ">"];
const BARE = /[^\s()"'=~<>!]/;

function* tokens(text: string): Generator<Token> {
  let at = 0;
  let isValue = false;
  while (at < text.length) {
    const start = at;
    while (/\s/.test(text[at] ?? "")) at += 1;
    const isApart = at > start || at === 0;
    const letter = text[at];
    if (letter === undefined) break;
    const from = at;
    if (!isValue && (letter === "(" || letter === ")")) {
      at += 1;
      yield { is: letter, text: letter, at: from, isApart };
      continue;
    }
    if (letter === '"' || letter === "'") {
      let inner = "";
      at += 1;
      while (at < text.length && text[at] !== letter) {
        if (text[at] === "\\" && at + 1 < text.length) at += 1;
        inner += text[at];
        at += 1;
      }
      if (at >= text.length) throw new Wrong("a quotation mark without its partner", from);
      at += 1;
      isValue = false;
      yield { is: "text", text: inner, at: from, isApart };
      continue;
    }
    const op = isValue ? undefined : OPS.find((op) => text.startsWith(op, at));
    if (op) {
      at += op.length;
      isValue = true;
      yield { is: "op", text: op, at: from, isApart };
      continue;
    }
    // A value ends at a space or a parenthesis alone: `path=/a=b`.
    const more = isValue ? /[^\s()"]/ : BARE;
    while (at < text.length && more.test(text[at] ?? "")) at += 1;
    if (at === from) {
      if (!isValue) throw new Wrong(`'${letter}' has no meaning here`, from);
      isValue = false;
      continue;
    }
    isValue = false;
    yield { is: "word", text: text.slice(from, at), at: from, isApart };
  }
  yield { is: "end", text: "", at: text.length, isApart: true };
}

/** Reads a filter. Throws `Wrong`. */
export function parse(text: string): Query {
  const list = [...tokens(text)];
  let place = 0;
  const peek = () => list[place] as Token;
  const isWord = (word: string) => peek().is === "word" && peek().text.toLowerCase() === word;

  function any(): Query {
    let left = all();
    while (isWord("or")) {
      place += 1;
      left = { is: "or", left, right: all() };
    }
    return left;
  }
  function all(): Query {
    let left = one();
    for (;;) {
      if (isWord("and")) place += 1;
      else if (peek().is === "end" || peek().is === ")" || isWord("or")) return left;
      left = { is: "and", left, right: one() };
    }
  }
  function one(): Query {
    const token = peek();
    if (isWord("not") && list[place + 1]?.is !== "op") {
      place += 1;
      return { is: "not", of: one() };
    }
    if (token.is === "(") {
      place += 1;
      const inner = any();
      if (peek().is !== ")") throw new Wrong("a parenthesis without its partner", token.at);
      place += 1;
      return inner;
    }
    if (token.is === "end") throw new Wrong("something is missing at the end", token.at);
    if (token.is === ")") throw new Wrong("a parenthesis without its partner", token.at);
    if (token.is === "op") throw new Wrong(`a field is missing in front of '${token.text}'`, token.at);
    if (token.is === "word" && ["and", "or"].includes(token.text.toLowerCase()) && list[place + 1]?.is !== "op") {
      throw new Wrong(`something is missing in front of '${token.text}'`, token.at);
    }
    place += 1;
    const next = peek();
    if (token.is === "word" && next.is === "op") {
      place += 1;
      const value = peek();
      if (value.is !== "word" && value.is !== "text") {
        throw new Wrong(`a value is missing behind '${next.text}'`, value.at);
      }
      place += 1;
      return { is: "field", field: token.text, op: next.text as Op, value: value.text, at: token.at };
    }
    return { is: "text", text: token.text };
  }

  if (peek().is === "end") return { is: "all" };
  const query = any();
  if (peek().is !== "end") throw new Wrong("a parenthesis without its partner", peek().at);
  return query;
}

/** A value as it has to be typed. */
export function quoted(value: string): string {
  return value !== "" && /^[^\s()"'\\]+$/.test(value) ? value : `"${value.replace(/(["\\])/g, "\\$1")}"`;
}

/** Fields that no line has. */
export const MADE = {
  program: "the last part of exe",
  tree: "a process, by its pid, and all that it started",
  rule: "the rule of an alert on the event",
  priority: "that rule's priority",
  at: "the time since the first event: 1.5s, 20ms",
} as const;

const UNITS: Record<string, number> = {
  ns: 1, us: 1e3, "µs": 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9,
  b: 1, kb: 1e3, mb: 1e6, gb: 1e9, k: 1e3, kib: 1024, mib: 1 << 20, gib: 1 << 30,
};

/** A number with a unit: `20ms` in nanoseconds, `1.5kB` in bytes; NaN for what is none. */
export function amount(text: string): number {
  const parts = /^(-?\d+(?:\.\d+)?(?:e\d+)?)\s*([a-zµ]*)$/i.exec(text);
  if (!parts) return /^-?0x[0-9a-f]+$/i.test(text) ? Number(text) : Number.NaN;
  const unit = parts[2] ?? "";
  const factor = unit === "" ? 1 : (UNITS[unit.toLowerCase()] ?? Number.NaN);
  return Number(parts[1]) * factor;
}

/** How many letters have to change between two words. */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, place) => place);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}

function unknown(field: string, fields: readonly string[]): string {
  const near = fields
    .map((known) => ({ known, far: distance(field, known) }))
    .filter(({ far }) => far <= Math.max(1, field.length / 3))
    .sort((a, b) => a.far - b.far)[0];
  return `no event here has the field '${field}'${near ? `; did you mean '${near.known}'?` : ""}`;
}

/** Looks for events. */
export class Search {
  constructor(
    private readonly store: Store,
    private readonly processes: Processes,
  ) {}

  /** The events that meet the query, in order. Throws `Wrong` for a field that does not exist. */
  rows(query: Query): Uint32Array {
    const all = this.store.length;
    const rows = new Uint32Array(all);
    let found = 0;
    const mask = this.mask(query);
    for (let event = 0; event < all; event += 1) if (mask[event]) rows[found++] = event;
    return rows.subarray(0, found);
  }

  private mask(query: Query): Uint8Array {
    const all = this.store.length;
    switch (query.is) {
      case "all":
        return new Uint8Array(all).fill(1);
      case "not": {
        const mask = this.mask(query.of);
        for (let event = 0; event < all; event += 1) mask[event] = mask[event] ? 0 : 1;
        return mask;
      }
      case "and":
      case "or": {
        const left = this.mask(query.left);
        const right = this.mask(query.right);
        const isAnd = query.is === "and";
        for (let event = 0; event < all; event += 1) {
          left[event] = isAnd ? (left[event] ?? 0) & (right[event] ?? 0) : (left[event] ?? 0) | (right[event] ?? 0);
        }
        return left;
      }
      case "text":
        return this.text(query.text);
      case "field":
        return this.field(query.field, query.op, query.value, query.at);
    }
  }

  /** Events with a value that has the text in it, whatever its case, or that is the number. */
  private text(text: string): Uint8Array {
    const { store } = this;
    const fits = this.strings((lower) => lower.includes(text.toLowerCase()));
    const number = amount(text);
    const columns = store.kinds.map((kind) => [...kind.columns.values()]);
    const isNamed = store.kinds.map((kind) => kind.name.includes(text.toLowerCase()));
    const mask = new Uint8Array(store.length);
    for (let event = 0; event < mask.length; event += 1) {
      const kind = store.kindNumber(event);
      const row = store.row(event);
      if (isNamed[kind]) mask[event] = 1;
      else {
        for (const column of columns[kind] as (typeof columns)[number]) {
          const cell = column.cell(row);
          if (cell === NUMBER ? column.number(row) === number : fits[cell]) {
            mask[event] = 1;
            break;
          }
        }
      }
    }
    for (const alert of store.alerts) {
      const said = `${alert.rule}\n${alert.output}\n${alert.tags.join("\n")}`.toLowerCase();
      if (said.includes(text.toLowerCase())) mask[alert.event] = 1;
    }
    return mask;
  }

  /** For each string whether it fits. */
  private strings(fits: (lower: string) => boolean): Uint8Array {
    const { store } = this;
    const all = store.strings.length;
    const mask = new Uint8Array(all);
    for (let number = 1; number < all; number += 1) mask[number] = fits(store.lower(number)) ? 1 : 0;
    return mask;
  }

  private field(field: string, op: Op, value: string, at: number): Uint8Array {
    const { store } = this;
    const mask = new Uint8Array(store.length);
    switch (field) {
      case "tree": {
        if (op !== "=") throw new Wrong("'tree' takes '=' and a pid", at);
        const those = this.processes.below(Number(value));
        for (let event = 0; event < mask.length; event += 1) {
          mask[event] = those.has(this.processes.of[event] ?? -1) ? 1 : 0;
        }
        return mask;
      }
      case "rule":
      case "priority": {
        const test = texts(op, value, at);
        for (const alert of store.alerts) if (test(alert[field].toLowerCase(), undefined)) mask[alert.event] = 1;
        return mask;
      }
      case "at": {
        const test = numbers(op, value, at);
        for (let event = 0; event < mask.length; event += 1) mask[event] = test(store.at(event)) ? 1 : 0;
        return mask;
      }
    }
    const name = field === "program" ? "exe" : field;
    const columns = store.kinds.map((kind) => kind.columns.get(name));
    if (!columns.some(Boolean)) {
      throw new Wrong(unknown(field, [...store.fields(), ...Object.keys(MADE)]), at);
    }
    const isNumeric = !Number.isNaN(amount(value)) && op !== "~" && op !== "!~";
    const isOrder = op.startsWith("<") || op.startsWith(">");
    const number = isNumeric ? numbers(op, value, at) : undefined;
    if (isOrder && !number) throw new Wrong(`'${op}' takes a number, such as 10, 1.5kB or 20ms`, at);
    const text = isOrder ? undefined : texts(op, value, at);
    // What fits is found out once for each string.
    const known = new Int8Array(store.strings.length * 2 + 1024);
    for (let event = 0; event < mask.length; event += 1) {
      const column = columns[store.kindNumber(event)];
      if (!column) continue;
      const row = store.row(event);
      let cell = column.cell(row);
      if (cell === 0) continue;
      if (cell === NUMBER) {
        const real = column.number(row);
        mask[event] = (number ? number(real) : (text?.(String(real), undefined) ?? false)) ? 1 : 0;
        continue;
      }
      if (!text) continue;
      if (field === "program") cell = store.base(cell);
      let fits = known[cell] ?? 0;
      if (fits === 0) {
        fits = text(store.lower(cell), store.lists.get(cell)) ? 1 : 2;
        known[cell] = fits;
      }
      mask[event] = fits === 1 ? 1 : 0;
    }
    return mask;
  }
}

type TextTest = (lower: string, words: readonly string[] | undefined) => boolean;

/** A comparison of texts, whatever their case; of a list with the whole or with a word. */
function texts(op: Op, value: string, at: number): TextTest {
  const wanted = value.toLowerCase();
  const is: TextTest = (lower, words) =>
    wanted === "*" || lower === wanted || (words?.some((word) => word.toLowerCase() === wanted) ?? false);
  switch (op) {
    case "=":
      return is;
    case "!=":
      return (lower, words) => !is(lower, words);
    case "~":
      return (lower) => lower.includes(wanted);
    case "!~":
      return (lower) => !lower.includes(wanted);
    default:
      throw new Wrong(`'${op}' takes a field with numbers`, at);
  }
}

function numbers(op: Op, value: string, at: number): (real: number) => boolean {
  const wanted = amount(value);
  if (Number.isNaN(wanted)) throw new Wrong(`'${value}' is no number, such as 10, 1.5kB or 20ms`, at);
  switch (op) {
    case "=":
      return (real) => real === wanted;
    case "!=":
      return (real) => real !== wanted;
    case "<":
      return (real) => real < wanted;
    case "<=":
      return (real) => real <= wanted;
    case ">":
      return (real) => real > wanted;
    case ">=":
      return (real) => real >= wanted;
    default:
      throw new Wrong(`'${op}' takes a field with text`, at);
  }
}
