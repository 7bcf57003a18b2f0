// The page for paper: the answer, then everything that fits, without anything to click.

import type { App } from "./app.ts";
import { h } from "./dom.ts";
import { about, outcome } from "./event.ts";
import { endOf, lineOf, nameOf } from "./processes.ts";
import { blindness, seconds, table } from "./screens.ts";
import { PRIORITIES, type Alert } from "./store.ts";
import { alertCard } from "./summary.ts";
import * as tables from "./tables.ts";
import { count, cut, duration, plural, size } from "./text.ts";

const MOST = 200;
const MOST_EVENTS = 500;

export function paper(app: App, title: string): HTMLElement {
  const { store, processes } = app;
  const chosen = new Set<number>();
  for (const event of app.rows) chosen.add(processes.of[event] ?? 0);
  const some = <T>(rows: readonly T[], noun: string, most: number, of: (row: T) => (string | Node)[], heads: string[]) => [
    table(heads, rows.slice(0, most).map(of), noun),
    rows.length > most && h("p", {}, `and ${plural(rows.length - most, noun)} more`),
  ];
  // In the order of the tree.
  const lines: number[] = [];
  const next = [...processes.roots].reverse();
  for (let index = next.pop(); index !== undefined; index = next.pop()) {
    if (chosen.has(index)) lines.push(index);
    next.push(...[...processes.at(index).children].reverse());
  }
  const losses = tables.reasons(app, "sensor.loss");
  return h(
    "div",
    {},
    h("h1", {}, title),
    h(
      "p",
      {},
      `${plural(chosen.size, "process")}, ${plural(app.rows.length, "event")} in ${duration(store.span)}, from ${store.utc(0)} UTC`,
      app.query && `; only those that meet: ${app.query}`,
      app.cut && `; ${app.cut}`,
    ),
    h("h2", {}, "Alerts"),
    store.alerts.length === 0 && h("p", {}, "none"),
    tables.rules(app, PRIORITIES).map((row) => alertCard(app, store.alerts[row.first] as Alert, row.times)),
    h("h2", {}, "Failed"),
    some(tables.failures(app), "failure", MOST, (row) => [row.error, cut(row.what, 300), row.program, count(row.times)], ["error", "what", "by", "times"]),
    h("h2", {}, "Not seen into"),
    processes.list.some((process) => process.blind) ? blindness(app, MOST) : h("p", {}, "none"),
    h("h2", {}, "Lost"),
    losses.length > 0
      ? some(losses, "loss", MOST, (row) => [row.reason, count(row.times), row.program], ["reason", "events", "program"])
      : h("p", {}, "none"),
    h("h2", {}, "Processes"),
    some(
      lines, "process", MOST,
      (index) => {
        const process = processes.at(index);
        const until = processes.until(process);
        return [
          `${"· ".repeat(Math.min(process.depth, 12))}${process.pid} ${cut(lineOf(process), 300)}`,
          `+${seconds(process.began)}`, duration(until - process.began), endOf(process).text,
        ];
      },
      ["process", "began", "lasted", "end"],
    ),
    h("h2", {}, "Files"),
    some(
      tables.files(app).sort((a, b) => b.written - a.written || b.read - a.read), "file", MOST,
      (row) => [cut(row.path, 300), size(row.read), size(row.written), row.failed > 0 ? `${count(row.failed)} failed` : "", row.by],
      ["path", "read", "written", "", "by"],
    ),
    h("h2", {}, "Network"),
    some(
      tables.peers(app), "peer", MOST,
      (row) => [row.what, cut(row.address, 200), row.host, size(row.sent), size(row.received), row.error, row.by],
      ["", "address", "name", "sent", "received", "error", "by"],
    ),
    some(tables.lookups(app), "name", MOST, (row) => [row.host, row.answers, count(row.times), row.error, row.by], ["name", "addresses", "times", "error", "by"]),
    h("h2", {}, "Events"),
    some(
      Array.from(app.rows.subarray(0, MOST_EVENTS + 1)), "event", MOST_EVENTS,
      (event) => [
        `+${seconds(store.at(event))}`, `${processes.ofEvent(event).pid} ${nameOf(processes.ofEvent(event))}`,
        store.kind(event).name, cut(about(store, event), 300), outcome(store, event),
      ],
      ["time", "process", "event", "what", "result"],
    ).slice(0, 1),
    app.rows.length > MOST_EVENTS && h("p", {}, `and ${plural(app.rows.length - MOST_EVENTS, "event")} more`),
  );
}
