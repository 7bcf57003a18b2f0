// The processes: who began when, as what, under whom, and how each ended.

import type { Store } from "./store.ts";
import { base, command, signal } from "./text.ts";

/** A program in a process. */
export interface Image {
  at: number;
  event: number;
  exe: string;
  argv: readonly string[];
}

export interface Process {
  index: number;
  pid: number;
  /** The pid namespace, where it is not the collector's. */
  namespace: number;
  ppid: number;
  /** Index of the parent; -1 where that is not here. */
  parent: number;
  children: number[];
  began: number;
  /** When it ended; NaN where that is not told. */
  ended: number;
  code: number;
  signal: number;
  cause: string;
  exe: string;
  images: Image[];
  cwd: string;
  container: string;
  uid: number;
  euid: number;
  userNs: number;
  systemNs: number;
  sensorNs: number;
  maxRss: number;
  calls: number;
  lost: number;
  events: number;
  failures: number;
  alerts: number;
  firstEvent: number;
  /** Why it is not seen into. */
  blind: string;
  /** The event that says so. */
  blindEvent: number;
  depth: number;
}

export class Processes {
  readonly list: Process[] = [];
  /** Index of the process of each event. */
  readonly of: Int32Array;
  /** Those without a parent here, in the order of their beginning. */
  readonly roots: number[] = [];

  constructor(readonly store: Store) {
    this.of = new Int32Array(store.length);
    this.read();
    this.arrange();
  }

  /** The process and all below it. Several may have had the number. */
  below(pid: number): Set<number> {
    const all = new Set<number>();
    const next = this.list.filter((process) => process.pid === pid).map((process) => process.index);
    for (let index = next.pop(); index !== undefined; index = next.pop()) {
      if (all.has(index)) continue;
      all.add(index);
      next.push(...this.at(index).children);
    }
    return all;
  }

  at(index: number): Process {
    return this.list[index] as Process;
  }

  /** The process of an event. */
  ofEvent(event: number): Process {
    return this.at(this.of[event] ?? 0);
  }

  /** The process, then those that it descends from. */
  lineage(process: Process): Process[] {
    const line = [process];
    for (let at = process; at.parent >= 0 && line.length < 64; ) {
      at = this.at(at.parent);
      line.push(at);
    }
    return line;
  }

  /** When it ended, or the last moment that is known. */
  until(process: Process): number {
    return Number.isNaN(process.ended) ? this.store.span : process.ended;
  }

  private read(): void {
    const { store } = this;
    const current = new Map<string, Process>();
    const make = (key: string, pid: number, namespace: number, at: number, event: number): Process => {
      const process: Process = {
        index: this.list.length, pid, namespace, ppid: Number.NaN, parent: -1, children: [], began: at,
        ended: Number.NaN, code: Number.NaN, signal: Number.NaN, cause: "", exe: "", images: [], cwd: "",
        container: "", uid: Number.NaN, euid: Number.NaN, userNs: 0, systemNs: 0, sensorNs: 0, maxRss: 0, calls: 0,
        lost: 0, events: 0, failures: 0, alerts: 0, firstEvent: event, blind: "", blindEvent: -1, depth: 0,
      };
      this.list.push(process);
      current.set(key, process);
      return process;
    };
    const nameOf = (pid: number, namespace: number) => (namespace ? `${namespace}:${pid}` : String(pid));
    for (let event = 0; event < store.length; event += 1) {
      const name = store.kind(event).name;
      const at = store.at(event);
      const pid = store.number(event, "pid");
      const namespace = store.number(event, "pid_ns") || 0;
      const key = nameOf(pid, namespace);
      let process = current.get(key);
      // A number is used again; what is told of the one that ended comes at its end.
      const isAnother =
        process && !Number.isNaN(process.ended) && at > process.ended && name !== "process.exit" &&
        !name.startsWith("sensor.") && !name.endsWith(".close");
      if (!process || isAnother) process = make(key, pid, namespace, at, event);
      this.of[event] = process.index;
      process.events += 1;
      if (process.firstEvent < 0) process.firstEvent = event;
      if (store.cell(event, "error")) process.failures += 1;
      process.alerts += store.alertsOf.get(event)?.length ?? 0;
      if (Number.isNaN(process.ppid)) {
        process.ppid = store.number(event, "ppid");
        process.uid = store.number(event, "uid");
        process.container = store.text(event, "container.name") || store.text(event, "container.id").slice(0, 12);
        if (process.parent < 0 && !Number.isNaN(process.ppid)) {
          const parent = current.get(nameOf(process.ppid, namespace));
          if (parent && parent !== process && !this.descends(parent, process)) process.parent = parent.index;
        }
      }
      const euid = store.number(event, "euid");
      if (!Number.isNaN(euid)) process.euid = euid;
      switch (name) {
        case "process.start":
          this.image(process, event, at);
          process.cwd = store.text(event, "cwd") || process.cwd;
          if (store.text(event, "coverage") !== "hooked" && store.cell(event, "reason")) {
            process.blind = store.text(event, "reason");
            process.blindEvent = event;
          }
          break;
        case "sensor.blind":
          this.image(process, event, at);
          process.blind = store.text(event, "reason") || "unknown";
          process.blindEvent = event;
          break;
        case "process.fork": {
          const child = store.number(event, "child");
          if (!(child > 0)) break;
          const made = current.get(nameOf(child, namespace));
          // A child of vfork may end before its parent's call returns.
          if (!made || (!Number.isNaN(made.ended) && made.parent !== process.index)) {
            const born = make(nameOf(child, namespace), child, namespace, at, -1);
            born.parent = process.index;
            born.ppid = pid;
            born.uid = process.uid;
            born.container = process.container;
            born.exe = process.exe;
          } else if (made.parent < 0 && made !== process && !this.descends(process, made)) {
            made.parent = process.index;
          }
          break;
        }
        case "process.exit":
          process.ended = Math.max(at, process.began);
          process.code = store.number(event, "code");
          process.signal = store.number(event, "signal");
          process.cause = store.text(event, "cause");
          process.userNs = store.number(event, "user_ns") || 0;
          process.systemNs = store.number(event, "system_ns") || 0;
          process.sensorNs = store.number(event, "sensor_ns") || 0;
          process.maxRss = store.number(event, "max_rss") || 0;
          process.calls = store.number(event, "calls") || 0;
          process.lost = store.number(event, "lost") || 0;
          break;
        default:
          process.exe ||= store.text(event, "exe");
      }
    }
  }

  private image(process: Process, event: number, at: number): void {
    const { store } = this;
    const exe = store.text(event, "exe") || store.text(event, "path");
    process.exe = exe;
    process.images.push({ at, event, exe, argv: store.words(event, "argv") });
  }

  private descends(process: Process, from: Process): boolean {
    return this.lineage(process).includes(from);
  }

  private arrange(): void {
    for (const process of this.list) {
      if (process.parent >= 0) this.at(process.parent).children.push(process.index);
      else this.roots.push(process.index);
    }
    const order = (a: number, b: number) => this.at(a).began - this.at(b).began || a - b;
    for (const process of this.list) process.children.sort(order);
    this.roots.sort(order);
    const next = [...this.roots];
    for (let index = next.pop(); index !== undefined; index = next.pop()) {
      const { depth, children } = this.at(index);
      for (const child of children) {
        this.at(child).depth = depth + 1;
        next.push(child);
      }
    }
  }
}

/** The name of a process: argv[0] where the program's file has another one. */
export function nameOf(process: Process): string {
  const last = process.images.at(-1);
  const file = base(process.exe) || "?";
  if (!last) return process.exe ? file : "?";
  const called = base(last.argv[0] ?? "").replace(/^-/, "");
  // `python3` is `python3.11`; `sh` is not `dash`.
  return called && !file.startsWith(called) ? `${called} (${file})` : file;
}

/** The process as one line: its programs, the last one with its arguments. */
export function lineOf(process: Process): string {
  const last = process.images.at(-1);
  if (!last) return `${nameOf(process)} (fork)`;
  const before = process.images.slice(0, -1).map((image) => base(image.exe));
  const shown = before.length > 3 ? [`${before.length} programs`] : before;
  const text = last.argv.length > 1 ? `${nameOf(process)} ${command(last.argv.slice(1))}` : nameOf(process);
  return [...shown, text].join(" → ");
}

/** How it ended, in a word, and whether that is well. */
export function endOf(process: Process): { text: string; is: "well" | "failed" | "killed" | "open" } {
  if (Number.isNaN(process.ended)) return { text: "no end seen", is: "open" };
  if (!Number.isNaN(process.signal)) return { text: signal(process.signal), is: "killed" };
  if (Number.isNaN(process.code)) return { text: "ended", is: "open" };
  return { text: `exit ${process.code}`, is: process.code === 0 ? "well" : "failed" };
}
