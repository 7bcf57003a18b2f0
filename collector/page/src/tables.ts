// What happened, counted: by file, by peer, by name, by failure, by reason. Each table is made of the
// events that meet the filter, when its view is opened.

import type { Store } from "./store.ts";
import type { Process, Processes } from "./processes.ts";
import { nameOf } from "./processes.ts";
import { base } from "./text.ts";

/** Events, and the processes that they are of. */
export interface Chosen {
  store: Store;
  processes: Processes;
  rows: Uint32Array;
}

/** Names with their counts, the most frequent first. */
class Tally {
  // Most rows are of one program.
  private name = "";
  private times = 0;
  private others: Map<string, number> | undefined;

  add(name: string): void {
    if (this.times === 0) this.name = name;
    if (name === this.name) this.times += 1;
    else {
      this.others ??= new Map();
      this.others.set(name, (this.others.get(name) ?? 0) + 1);
    }
  }

  /** `cat, sh and 3 more` */
  toString(): string {
    if (!this.others) return this.name;
    const counts: [string, number][] = [[this.name, this.times], ...this.others];
    const names = counts.sort((a, b) => b[1] - a[1]).map(([name]) => name);
    return names.length <= 3 ? names.join(", ") : `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;
  }
}

/** For each event's process its program's name, looked up once. */
function names(processes: Processes): (event: number) => string {
  const known = new Map<number, string>();
  return (event) => {
    const index = processes.of[event] ?? 0;
    let name = known.get(index);
    if (name === undefined) {
      name = nameOf(processes.at(index));
      known.set(index, name);
    }
    return name;
  };
}

export interface FileRow {
  path: string;
  opens: number;
  failed: number;
  read: number;
  reads: number;
  written: number;
  writes: number;
  /** Made, removed, renamed and kin. */
  changes: number;
  /** The last of these, by its event's verb. */
  change: string;
  by: string;
  event: number;
}

export function files({ store, processes, rows }: Chosen): FileRow[] {
  const all = new Map<number, FileRow>();
  const tallies: Tally[] = [];
  const list: FileRow[] = [];
  const places = new Int32Array(store.strings.length);
  const name = names(processes);
  const [isFile, paths, errors] = [store.isOf("file."), store.cells("path"), store.cells("error")];
  for (const event of rows) {
    if (!isFile(event)) continue;
    const kind = store.kind(event).name;
    const path = paths(event);
    if (path <= 0) continue;
    let row = all.get(path);
    if (!row) {
      row = {
        path: store.strings[path] ?? "", opens: 0, failed: 0, read: 0, reads: 0, written: 0, writes: 0, changes: 0,
        change: "", by: "", event,
      };
      all.set(path, row);
      places[path] = list.length;
      list.push(row);
      tallies.push(new Tally());
    }
    tallies[places[path] ?? 0]?.add(name(event));
    if (errors(event)) row.failed += 1;
    else if (kind === "file.open") row.opens += 1;
    else if (kind === "file.close") {
      row.read += store.number(event, "bytes_read") || 0;
      row.reads += store.number(event, "reads") || 0;
      row.written += store.number(event, "bytes_written") || 0;
      row.writes += store.number(event, "writes") || 0;
    } else if (!LOOKS.has(kind)) {
      row.changes += 1;
      row.change = kind.slice("file.".length);
    }
  }
  list.forEach((row, place) => (row.by = String(tallies[place])));
  return list;
}

const LOOKS = new Set(["file.stat", "file.access", "file.readlink", "file.lock", "file.handle"]);

export interface PeerRow {
  what: "connect" | "accept" | "listen" | "datagrams";
  address: string;
  host: string;
  times: number;
  failed: number;
  error: string;
  sent: number;
  received: number;
  by: string;
  event: number;
}

export function peers({ store, processes, rows }: Chosen): PeerRow[] {
  const all = new Map<string, PeerRow & { tally: Tally }>();
  const name = names(processes);
  const at = (what: PeerRow["what"], address: string, host: string, event: number) => {
    const key = `${what}\u0000${address}\u0000${host}`;
    let row = all.get(key);
    if (!row) {
      row = { what, address, host, times: 0, failed: 0, error: "", sent: 0, received: 0, by: "", event, tally: new Tally() };
      all.set(key, row);
    }
    row.tally.add(name(event));
    return row;
  };
  const isNet = store.isOf("net.");
  for (const event of rows) {
    if (!isNet(event)) continue;
    const kind = store.kind(event).name;
    const error = store.text(event, "error");
    const host = store.text(event, "host");
    const remote = store.text(event, "remote");
    const local = store.text(event, "local");
    switch (kind) {
      case "net.connect": {
        if (remote === "" || remote.startsWith("AF_")) break;
        const row = at("connect", remote, host, event);
        if (error) {
          row.failed += 1;
          row.error = error;
        } else row.times += 1;
        break;
      }
      case "net.connected": {
        if (!error || remote === "") break;
        // It had counted as a connection.
        const row = at("connect", remote, host, event);
        row.times = Math.max(0, row.times - 1);
        row.failed += 1;
        row.error = error;
        break;
      }
      case "net.accept":
        if (!error) at("accept", local || "?", "", event).times += 1;
        break;
      case "net.listen":
        if (!error) at("listen", local || "?", "", event).times += 1;
        break;
      case "net.close": {
        const sent = store.number(event, "bytes_sent") || 0;
        const received = store.number(event, "bytes_received") || 0;
        if (sent === 0 && received === 0) break;
        const many = store.text(event, "remotes");
        let row = all.get(`connect\u0000${remote}\u0000${host}`) ?? all.get(`accept\u0000${local || "?"}\u0000`);
        if (many) row = at("datagrams", many, "", event);
        row ??= at(remote ? "connect" : "datagrams", remote || local || "?", host, event);
        if (many || row.what === "datagrams") row.times += 1;
        row.sent += sent;
        row.received += received;
      }
    }
  }
  return [...all.values()].map(({ tally, ...row }) => ({ ...row, by: String(tally) }));
}

export interface NameRow {
  host: string;
  times: number;
  failed: number;
  error: string;
  answers: string;
  by: string;
  event: number;
}

export function lookups({ store, processes, rows }: Chosen): NameRow[] {
  const all = new Map<string, NameRow & { tally: Tally; known: Set<string> }>();
  const name = names(processes);
  const isName = store.isOf("dns.");
  for (const event of rows) {
    if (!isName(event)) continue;
    const kind = store.kind(event).name;
    const host = kind === "dns.query" ? store.text(event, "host") : store.text(event, "addr");
    let row = all.get(host);
    if (!row) {
      row = { host, times: 0, failed: 0, error: "", answers: "", by: "", event, tally: new Tally(), known: new Set() };
      all.set(host, row);
    }
    row.tally.add(name(event));
    row.times += 1;
    const error = store.text(event, "error");
    if (error) {
      row.failed += 1;
      row.error = error;
    }
    const answers = kind === "dns.query" ? store.words(event, "answers") : [store.text(event, "host")];
    for (const answer of answers) if (answer) row.known.add(answer);
  }
  return [...all.values()].map(({ tally, known, ...row }) => ({
    ...row,
    answers: [...known].join(" "),
    by: String(tally),
  }));
}

export interface FailureRow {
  error: string;
  what: string;
  kind: string;
  program: string;
  times: number;
  /** A name that was looked for in several places, and found in a later one. */
  isSearch: boolean;
  /** It stands in the arguments of the program that failed. */
  isNamed: boolean;
  event: number;
}

/** What a failed call was about. */
export function objectOf(store: Store, event: number): string {
  const kind = store.kind(event).name;
  if (kind === "dns.query") return store.text(event, "host");
  if (kind === "dns.reverse") return store.text(event, "addr");
  const host = store.text(event, "host");
  const remote = store.text(event, "remote");
  if (remote) return host && !remote.startsWith(host) ? `${remote} (${host})` : remote;
  const path = store.text(event, "path");
  const other = store.text(event, "new_path");
  if (path) return other ? `${path} → ${other}` : path;
  for (const field of ["local", "what", "target", "name", "resource", "request", "family"]) {
    const text = store.text(event, field);
    if (text) return text;
  }
  return "";
}

/** Failures that a person should look at first. */
const GRAVE = new Set([
  "EACCES", "EPERM", "ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET", "ENOSPC", "EROFS",
  "EMFILE", "ENFILE", "ENOMEM", "EDQUOT", "EIO", "ENOEXEC", "EADDRINUSE", "EADDRNOTAVAIL",
]);
/** Answers that programs ask for. */
const COMMON = new Set(["ENOENT", "EAGAIN", "EINPROGRESS", "EEXIST", "ENOTTY", "ENODATA", "EINTR", "ENOTDIR"]);
/** Paths that libc itself tries at every start. */
const NOISE = /\/(locale|gconv|i18n)\/|\/(ld\.so\.(cache|preload)|nsswitch\.conf|locale-archive|gconv-modules)|\/nscd\/|__pycache__|\.pyc$/;

/** Questions whose answer is an error: whether it is a link, whether there is a terminal. */
function isAnswer(row: FailureRow): boolean {
  return (row.kind === "file.readlink" && row.error === "EINVAL") || (row.what === "/dev/tty" && row.error === "ENXIO");
}

/** How much a failure says: smaller first. */
export function weight(row: FailureRow): number {
  if (GRAVE.has(row.error) || row.kind.startsWith("dns.")) return 0;
  if (row.kind === "process.exec" && !row.isSearch) return 1;
  if (row.isSearch) return 4;
  if (isAnswer(row)) return 3;
  if (!COMMON.has(row.error) || row.isNamed) return 1;
  return NOISE.test(row.what) ? 3 : 2;
}

export function failures({ store, processes, rows }: Chosen): FailureRow[] {
  const all = new Map<string, FailureRow>();
  const name = names(processes);
  const found = searched(store, processes);
  const errors = store.cells("error");
  for (const event of rows) {
    const error = errors(event);
    if (error === 0) continue;
    const what = objectOf(store, event);
    const program = name(event);
    const text = store.strings[error] ?? "";
    const key = `${text}\u0000${what}\u0000${program}`;
    const row = all.get(key);
    const isSearch = text === "ENOENT" && found(event);
    if (row) {
      row.times += 1;
      row.isSearch &&= isSearch;
    } else {
      const kind = store.kind(event).name;
      const isNamed = what !== "" && (processes.ofEvent(event).images.at(-1)?.argv.includes(what) ?? false);
      all.set(key, { error: text, what, kind, program, times: 1, isSearch, isNamed, event });
    }
  }
  return folded([...all.values()]).sort((a, b) => weight(a) - weight(b) || b.times - a.times || a.event - b.event);
}

/** The least places that a name was looked for in, to be told in one row. */
const MANY = 3;

/** A program that looked for one name in many places, and found it in none, has one row of it. */
function folded(rows: readonly FailureRow[]): FailureRow[] {
  const groups = new Map<string, FailureRow[]>();
  for (const row of rows) {
    const isAlone = row.error !== "ENOENT" || row.isNamed || !row.what.includes("/") || row.what.includes(" → ");
    const name = isAlone ? `${row.error}\u0000${row.what}` : base(row.what);
    const key = `${name}\u0000${row.program}\u0000${isAlone}\u0000${row.isSearch}`;
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group as [FailureRow];
    if (group.length < MANY) return group;
    const times = group.reduce((all, row) => all + row.times, 0);
    return [{ ...first, what: `${base(first.what)} in ${group.length} places`, times }];
  });
}

const known = new WeakMap<Store, (event: number) => boolean>();

function searched(store: Store, processes: Processes): (event: number) => boolean {
  let answer = known.get(store);
  if (!answer) {
    answer = search(store, processes);
    known.set(store, answer);
  }
  return answer;
}

/** Whether the name that was not found at one place was found at another by the same process, or run by any. */
function search(store: Store, processes: Processes): (event: number) => boolean {
  const [paths, errors] = [store.cells("path"), store.cells("error")];
  const missing = store.find("ENOENT");
  const lacked = new Set<string>();
  const keyOf = (process: Process | undefined, path: number) => (process ? `${process.index}/${store.base(path)}` : "");
  for (let event = 0; event < store.length; event += 1) {
    const path = paths(event);
    if (path > 0 && missing > 0 && errors(event) === missing) lacked.add(keyOf(processes.ofEvent(event), path));
  }
  const had = new Set<string>();
  // A shell looks for a program in all of PATH, and a child of its child may run it.
  const ran = new Set<number>();
  const note = (process: Process | undefined, path: number) => {
    const key = keyOf(process, path);
    if (lacked.has(key)) had.add(key);
  };
  for (let event = 0; lacked.size > 0 && event < store.length; event += 1) {
    const path = paths(event);
    if (path <= 0 || errors(event)) continue;
    const kind = store.kind(event).name;
    const process = processes.ofEvent(event);
    if (kind === "process.start" || kind === "sensor.blind") {
      ran.add(store.base(path));
    } else if (kind.startsWith("file.") && kind !== "file.close") note(process, path);
  }
  return (event) => {
    const path = paths(event);
    return path > 0 && (had.has(keyOf(processes.ofEvent(event), path)) || ran.has(store.base(path)));
  };
}

export interface ReasonRow {
  reason: string;
  program: string;
  times: number;
  pid: number;
  event: number;
}

/** Programs that the sensor cannot see into, losses, or evasions, by reason and program. */
export function reasons(chosen: Chosen, kind: "sensor.blind" | "sensor.loss" | "sensor.evasion"): ReasonRow[] {
  const { store, processes, rows } = chosen;
  const all = new Map<string, ReasonRow>();
  const name = names(processes);
  const [isIt, isStart] = [store.isOf(kind), store.isOf("process.start")];
  for (const event of rows) {
    if (!isIt(event) && !isStart(event)) continue;
    const is = store.kind(event).name;
    // A notified program is seen by the kernel's word alone: that, too, is said.
    const isPart = kind === "sensor.blind" && is === "process.start" && store.cell(event, "reason") !== 0;
    if (is !== kind && !isPart) continue;
    const reason = store.text(event, "reason") || "unknown";
    const path = kind === "sensor.blind" ? store.text(event, "path") : store.text(event, "module");
    const program = path || name(event);
    const key = `${reason}\u0000${program}`;
    const times = is === "sensor.blind" || isPart ? 1 : store.number(event, "count") || 1;
    const row = all.get(key);
    if (row) row.times += times;
    else all.set(key, { reason, program, times, pid: store.number(event, "pid"), event });
  }
  return [...all.values()].sort((a, b) => b.times - a.times);
}

export interface RuleRow {
  rule: string;
  priority: string;
  times: number;
  /** Index into the store's alerts of the first one. */
  first: number;
}

/** How urgent: 0 is the most. */
export function urgency(priority: string, order: readonly string[]): number {
  const place = order.indexOf(priority);
  return place < 0 ? order.length : place;
}

/** Rules with their alerts on these events, the most urgent first. */
export function rules({ store, rows }: Chosen, order: readonly string[]): RuleRow[] {
  const mask = new Uint8Array(store.length);
  for (const event of rows) mask[event] = 1;
  const all = new Map<string, RuleRow>();
  store.alerts.forEach((alert, first) => {
    if (!mask[alert.event]) return;
    const row = all.get(alert.rule);
    if (row) row.times += 1;
    else all.set(alert.rule, { rule: alert.rule, priority: alert.priority, times: 1, first });
  });
  return [...all.values()].sort(
    (a, b) => urgency(a.priority, order) - urgency(b.priority, order) || b.times - a.times,
  );
}
