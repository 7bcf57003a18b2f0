// The events, in columns.
//
// A hundred thousand objects with twenty members each would be slow to search and heavy to keep. So every
// kind of event is a table of its own, a string stands once in a dictionary, and a cell is a number. The
// lines themselves are kept as text, for the one event that a person opens.

/** An object of a line. */
export type Json = { [name: string]: unknown };

/** Numbers that grow. */
class Grow<A extends Int32Array | Uint32Array | Float64Array | Uint8Array | Uint16Array> {
  length = 0;

  constructor(
    public array: A,
    private readonly make: (length: number) => A,
  ) {}

  push(value: number): void {
    if (this.length === this.array.length) {
      const larger = this.make(this.array.length * 2);
      larger.set(this.array);
      this.array = larger;
    }
    this.array[this.length] = value;
    this.length += 1;
  }
}

const words = () => new Grow(new Int32Array(16), (length) => new Int32Array(length));
const reals = () => new Grow(new Float64Array(16), (length) => new Float64Array(length));

/** Cells of a column: 0 where there is nothing, the number of a string, or NUMBER where `numbers` has it. */
export const NUMBER = -1;

/** One field of one kind of events. */
export class Column {
  readonly cells = words();
  readonly numbers = reals();

  set(row: number, cell: number, number: number): void {
    while (this.cells.length < row) this.cells.push(0);
    this.cells.push(cell);
    if (cell === NUMBER) {
      while (this.numbers.length < row) this.numbers.push(Number.NaN);
      this.numbers.push(number);
    }
  }

  /** The cell; 0 behind the last one that was set. */
  cell(row: number): number {
    return this.cells.array[row] ?? 0;
  }

  number(row: number): number {
    return this.cell(row) === NUMBER ? (this.numbers.array[row] ?? Number.NaN) : Number.NaN;
  }
}

/** All events of one name. */
export class Kind {
  length = 0;
  readonly columns = new Map<string, Column>();

  constructor(readonly name: string) {}
}

/** What a rule said of an event. */
export interface Alert {
  event: number;
  rule: string;
  priority: string;
  output: string;
  tags: string[];
  fields: Json;
  ancestry: Ancestor[];
}

export interface Ancestor {
  pid: number;
  exe: string;
  name: string;
  argv: string[];
}

export interface Reason {
  why: string;
  fix: string;
}

/** What the document says of itself. */
export interface Begin {
  version: string;
  host: string;
  kernel: string;
  machine: string;
  is_resumed: boolean;
  reasons: Record<string, Reason>;
}

export interface End {
  restarts: number;
  collector_ns: number;
}

/** Most urgent first. */
export const PRIORITIES = [
  "Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug",
] as const;

/** Seconds since 1970, and nanoseconds, of an RFC 3339 time in UTC. */
export function instant(time: string): [number, number] {
  const seconds = Date.parse(`${time.slice(0, 19)}Z`) / 1000;
  const digits = /\.(\d{1,9})/.exec(time)?.[1] ?? "0";
  return [Number.isNaN(seconds) ? 0 : seconds, Number(digits.padEnd(9, "0"))];
}

export class Store {
  /** Strings by number; 0 is none. A list is one string, its words with a blank between. */
  readonly strings: string[] = [""];
  private readonly numberOf = new Map<string, number>();
  /** The words of those that are lists. */
  readonly lists = new Map<number, readonly string[]>();
  private readonly lowered: string[] = [""];
  private readonly bases: number[] = [0];

  readonly kinds: Kind[] = [];
  private readonly kindNamed = new Map<string, number>();
  private readonly kindOf = new Grow(new Uint16Array(1024), (length) => new Uint16Array(length));
  private readonly rowOf = new Grow(new Uint32Array(1024), (length) => new Uint32Array(length));
  private readonly times = new Grow(new Float64Array(1024), (length) => new Float64Array(length));
  private readonly lines: string[] = [];

  readonly alerts: Alert[] = [];
  readonly alertsOf = new Map<number, Alert[]>();
  begin: Begin | null = null;
  end: End | null = null;
  /** The first event's second. */
  private epoch = Number.NaN;
  /** Nanoseconds after that second of the earliest and the latest event. */
  first = Number.POSITIVE_INFINITY;
  last = Number.NEGATIVE_INFINITY;
  /** Lines that are no objects. */
  malformed = 0;

  get length(): number {
    return this.lines.length;
  }

  /** Takes one line of the stream. */
  take(line: string): void {
    let object: Json;
    try {
      object = JSON.parse(line) as Json;
    } catch {
      this.malformed += 1;
      return;
    }
    if (typeof object !== "object" || object === null) this.malformed += 1;
    else if (typeof object.event === "string") this.event(line, object, object.event);
    else if (object.alert) this.alert(object.alert as Alert);
    else if (object.begin) this.begin ??= object.begin as Begin;
    else if (object.end) this.end = object.end as End;
    else this.malformed += 1;
  }

  private alert(alert: Alert): void {
    if (this.length === 0) return;
    const event = this.length - 1;
    const whole = { ...alert, event };
    this.alerts.push(whole);
    const those = this.alertsOf.get(event);
    if (those) those.push(whole);
    else this.alertsOf.set(event, [whole]);
  }

  private event(line: string, object: Json, name: string): void {
    let number = this.kindNamed.get(name);
    if (number === undefined) {
      number = this.kinds.length;
      this.kinds.push(new Kind(name));
      this.kindNamed.set(name, number);
    }
    const kind = this.kinds[number] as Kind;
    const row = kind.length;
    kind.length += 1;
    for (const field in object) {
      if (field === "time") continue;
      this.keep(kind, field, row, object[field]);
    }
    const [seconds, nanoseconds] = instant(String(object.time));
    if (Number.isNaN(this.epoch)) this.epoch = seconds;
    const at = (seconds - this.epoch) * 1e9 + nanoseconds;
    this.first = Math.min(this.first, at);
    this.last = Math.max(this.last, at);
    this.kindOf.push(number);
    this.rowOf.push(row);
    this.times.push(at);
    this.lines.push(line);
  }

  private keep(kind: Kind, field: string, row: number, value: unknown): void {
    let cell = 0;
    let real = 0;
    if (typeof value === "string") cell = this.intern(value);
    else if (typeof value === "number") {
      cell = NUMBER;
      real = value;
    } else if (typeof value === "boolean") cell = this.intern(String(value));
    else if (Array.isArray(value)) cell = this.list(value.map(String));
    else if (typeof value === "object" && value !== null) {
      if (field !== "env") {
        for (const [name, inner] of Object.entries(value)) this.keep(kind, `${field}.${name}`, row, inner);
        return;
      }
      cell = this.list(Object.entries(value).map(([name, inner]) => `${name}=${String(inner)}`));
    } else return;
    let column = kind.columns.get(field);
    if (!column) {
      column = new Column();
      kind.columns.set(field, column);
    }
    column.set(row, cell, real);
  }

  private intern(text: string): number {
    return this.known(text, text);
  }

  private list(list: readonly string[]): number {
    const key = `\u0000${list.join("\u0000")}`;
    const before = this.strings.length;
    const number = this.known(key, list.join(" "));
    if (number === before) this.lists.set(number, list);
    return number;
  }

  private known(key: string, text: string): number {
    let number = this.numberOf.get(key);
    if (number === undefined) {
      number = this.strings.length;
      this.strings.push(text);
      this.numberOf.set(key, number);
    }
    return number;
  }

  /** The number of a string that is no list; 0 where none has it. */
  find(text: string): number {
    return this.numberOf.get(text) ?? 0;
  }

  /** A string in small letters. */
  lower(number: number): string {
    return (this.lowered[number] ??= (this.strings[number] ?? "").toLowerCase());
  }

  /** The number of the last part of a path, which is made a string of its own. */
  base(number: number): number {
    const known = this.bases[number];
    if (known !== undefined) return known;
    const path = this.strings[number] ?? "";
    const at = path.lastIndexOf("/", path.length - 2);
    return (this.bases[number] = at < 0 ? number : this.intern(path.slice(at + 1)));
  }

  kind(event: number): Kind {
    return this.kinds[this.kindOf.array[event] ?? 0] as Kind;
  }

  /** The number of the kind among `kinds`. */
  kindNumber(event: number): number {
    return this.kindOf.array[event] ?? 0;
  }

  row(event: number): number {
    return this.rowOf.array[event] ?? 0;
  }

  /** Nanoseconds since the first event. */
  at(event: number): number {
    return (this.times.array[event] ?? 0) - this.first;
  }

  /** Nanoseconds between the first event and the last. */
  get span(): number {
    return this.length === 0 ? 0 : Math.max(0, this.last - this.first);
  }

  /** When something at `at` happened: `2026-12-01 00:45:53.961866645`, UTC. */
  utc(at: number): string {
    const absolute = at + this.first;
    const seconds = Math.floor(absolute / 1e9);
    const date = new Date((this.epoch + seconds) * 1000);
    if (Number.isNaN(date.getTime())) return "–";
    const rest = String(Math.round(absolute - seconds * 1e9)).padStart(9, "0");
    return `${date.toISOString().slice(0, 19).replace("T", " ")}.${rest}`;
  }

  cell(event: number, field: string): number {
    return this.kind(event).columns.get(field)?.cell(this.row(event)) ?? 0;
  }

  /** The cells of one field, for a walk over many events: each kind's column is looked up once. */
  cells(field: string): (event: number) => number {
    const columns = this.kinds.map((kind) => kind.columns.get(field));
    return (event) => columns[this.kindNumber(event)]?.cell(this.row(event)) ?? 0;
  }

  /** Whether an event is of a kind whose name begins so. */
  isOf(prefix: string): (event: number) => boolean {
    const those = this.kinds.map((kind) => kind.name.startsWith(prefix));
    return (event) => those[this.kindNumber(event)] ?? false;
  }

  /** The text of a field; empty where there is none. */
  text(event: number, field: string): string {
    const cell = this.cell(event, field);
    if (cell === NUMBER) return String(this.number(event, field));
    return this.strings[cell] ?? "";
  }

  /** The words of a list. */
  words(event: number, field: string): readonly string[] {
    return this.lists.get(this.cell(event, field)) ?? [];
  }

  /** The number of a field; NaN where there is none. */
  number(event: number, field: string): number {
    return this.kind(event).columns.get(field)?.number(this.row(event)) ?? Number.NaN;
  }

  /** The line as it came. */
  line(event: number): string {
    return this.lines[event] ?? "";
  }

  /** The event as an object. */
  object(event: number): Json {
    return JSON.parse(this.line(event)) as Json;
  }

  /** Every field that some event has. */
  fields(): string[] {
    const all = new Set<string>();
    for (const kind of this.kinds) for (const field of kind.columns.keys()) all.add(field);
    return [...all].sort();
  }
}
