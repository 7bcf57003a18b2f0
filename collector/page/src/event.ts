// One event in one line.

import type { Store } from "./store.ts";
import { command, duration, plural, signal, size } from "./text.ts";
import { objectOf } from "./tables.ts";

/** What the event is about. */
export function about(store: Store, event: number): string {
  const text = (field: string) => store.text(event, field);
  const number = (field: string) => store.number(event, field);
  const kind = store.kind(event).name;
  switch (kind) {
    case "process.start":
    case "process.exec": {
      const argv = store.words(event, "argv");
      const path = text("path");
      return argv.length > 0 ? `${path}  ${command(argv.slice(1))}`.trimEnd() : path;
    }
    case "sensor.blind":
      return `${text("path")}  not seen into: ${text("reason")}`;
    case "process.fork":
      return store.cell(event, "child") ? `child ${number("child")}` : "";
    case "process.exit":
      if (store.cell(event, "signal")) return `killed by ${signal(number("signal"))}`;
      if (store.cell(event, "code")) return `exit ${number("code")}`;
      return text("cause");
    case "process.signal":
      return `${signal(number("signal"))} to ${number("target")}`;
    case "process.credentials":
      return `${text("what")} to ${text("to")}`;
    case "process.trace":
      return `${text("request")} ${text("target")}`;
    case "process.control":
      return `${text("what")} ${text("name") || text("argument")}`;
    case "process.limit":
      return `${text("resource")} ${text("soft")}`;
    case "process.namespace":
      return [text("what"), text("source"), text("path"), text("filesystem")].filter(Boolean).join(" ");
    case "file.open":
      return [text("path"), openMode(store.words(event, "flags"))].filter(Boolean).join("  ");
    case "file.close": {
      const parts = [text("path")];
      if (number("bytes_read") > 0) parts.push(`${size(number("bytes_read"))} read`);
      if (number("bytes_written") > 0) parts.push(`${size(number("bytes_written"))} written`);
      return parts.join("  ");
    }
    case "net.close": {
      const parts = [objectOf(store, event) || text("remotes")];
      if (number("bytes_sent") > 0) parts.push(`${size(number("bytes_sent"))} sent`);
      if (number("bytes_received") > 0) parts.push(`${size(number("bytes_received"))} received`);
      return parts.filter(Boolean).join("  ");
    }
    case "net.socket":
      return [text("family"), text("type"), text("protocol")].filter(Boolean).join(" ");
    case "net.accept":
      return [text("local"), text("remote")].filter(Boolean).join(" ← ");
    case "dns.query":
      return [text("host"), text("answers")].filter(Boolean).join(" → ");
    case "dns.reverse":
      return [text("addr"), text("host")].filter(Boolean).join(" → ");
    case "memory.map":
      return [text("path"), text("prot"), Number.isNaN(number("len")) ? "" : size(number("len"))].filter(Boolean).join(" ");
    case "fd.duplicate":
      return `${number("fd")} → ${number("target")}  ${text("path") || text("remote")}`;
    case "sensor.loss":
      return `${plural(number("count"), "event")} lost: ${text("reason")}`;
    case "sensor.evasion":
      return [text("reason"), text("mapping") || text("module")].filter(Boolean).join(" ");
    default:
      return objectOf(store, event);
  }
}

function openMode(flags: readonly string[]): string {
  const words: string[] = [];
  if (flags.includes("O_RDWR")) words.push("read, write");
  else if (flags.includes("O_WRONLY")) words.push("write");
  if (flags.includes("O_CREAT")) words.push("create");
  if (flags.includes("O_TRUNC")) words.push("empty");
  if (flags.includes("O_APPEND")) words.push("append");
  return words.join(", ");
}

/** What came of it: the error, or what is worth a word. */
export function outcome(store: Store, event: number): string {
  const error = store.text(event, "error");
  if (error) return error;
  if (store.text(event, "pending") === "true") return "pending";
  const ns = store.number(event, "duration_ns");
  return Number.isNaN(ns) ? "" : duration(ns);
}

/** A class for the kind of event: its colour. */
export function toneOf(name: string): string {
  return name.slice(0, name.indexOf("."));
}
