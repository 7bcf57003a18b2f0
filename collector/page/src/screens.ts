// The views that are lists: events, files, network, failures; and what the sensor says of itself.

import { type App, type Screen, both, term } from "./app.ts";
import { button, h } from "./dom.ts";
import { about, outcome, toneOf } from "./event.ts";
import { type Field, List } from "./list.ts";
import { endOf, nameOf } from "./processes.ts";
import { BLIND, EVASION, LOSS } from "./reasons.ts";
import * as tables from "./tables.ts";
import { count, cut, duration, percent, plural, size } from "./text.ts";

const MOST = 400;

/** An element with several lists, of which the first is the keyboard's. */
function screen(name: string, title: string, ...children: (HTMLElement | null | false)[]): HTMLElement {
  return h("div", { class: `screen ${name}` }, h("h2", { class: "sr" }, title), ...children);
}

export function events(app: App): Screen & { list: List<number> } {
  const { store, processes } = app;
  const list = new List<number>({
    name: "events",
    class: "events",
    empty: "no event meets the filter",
    rowClass: (event) => `${store.cell(event, "error") ? "failed" : ""} ${store.alertsOf.has(event) ? "alerted" : ""}`,
    fields: [
      { key: "at", title: "time", class: "num at", cell: (event) => `+${seconds(store.at(event))}` },
      {
        key: "process", title: "process", class: "who",
        cell: (event) => {
          const process = processes.ofEvent(event);
          return [h("span", { class: "pid" }, process.pid), cut(nameOf(process), 40)];
        },
      },
      {
        key: "event", title: "event", class: "kind",
        cell: (event) => {
          const name = store.kind(event).name;
          return h("span", { class: `kind-${toneOf(name)}` }, name);
        },
      },
      {
        key: "about", title: "what", class: "what",
        cell: (event) => [
          store.alertsOf.has(event) && h("span", { class: "alert-mark", title: "a rule matched" }, "▲ "),
          cut(about(store, event), MOST),
        ],
      },
      { key: "outcome", title: "result", class: "outcome", cell: (event) => outcome(store, event) },
    ],
    open: (event) => app.openEvent(event),
  });
  list.set(app.rows);
  return { element: screen("list-only", "Events", list.element), list, dispose: () => list.dispose() };
}

/** Seconds with microseconds, which line up. */
export function seconds(ns: number): string {
  return (ns / 1e9).toFixed(6);
}

export function files(app: App): Screen {
  const rows = tables.files(app);
  const list = new List<tables.FileRow>({
    name: "files",
    class: "files",
    empty: "no event of a file meets the filter",
    sorted: { key: "written", isUp: false },
    fields: [
      { key: "path", title: "path", class: "path", cell: (row) => cut(row.path, MOST), sort: (row) => row.path },
      number("opens", "opened", (row) => row.opens),
      bytes("read", "read", (row) => row.read, (row) => row.reads),
      bytes("written", "written", (row) => row.written, (row) => row.writes),
      number("failed", "failed", (row) => row.failed, "bad"),
      {
        key: "changes", title: "changed", class: "change", sort: (row) => row.changes,
        cell: (row) => (row.changes > 0 ? `${row.change}${row.changes > 1 ? ` ${count(row.changes)} ×` : ""}` : ""),
      },
      { key: "by", title: "by", class: "by", cell: (row) => cut(row.by, 80), sort: (row) => row.by },
    ],
    open: (row) => app.go("events", both(app.query, term("path", row.path))),
  });
  list.set(rows);
  const note = h("p", { class: "note" }, `${plural(rows.length, "path")}. Bytes count when a descriptor is closed.`);
  return { element: screen("list-only", "Files", list.element, note), list, dispose: () => list.dispose() };
}

function number<R>(key: string, title: string, of: (row: R) => number, tone = ""): Field<R> {
  return {
    key, title, class: `num ${key}`, sort: of,
    cell: (row) => (of(row) > 0 ? h("span", { class: tone }, count(of(row))) : h("span", { class: "none" }, "·")),
  };
}

function bytes<R>(key: string, title: string, of: (row: R) => number, times: (row: R) => number): Field<R> {
  return {
    key, title, class: `num ${key}`, sort: of,
    cell: (row) => (times(row) > 0 || of(row) > 0 ? size(of(row)) : h("span", { class: "none" }, "·")),
  };
}

export function network(app: App): Screen {
  const rows = tables.peers(app);
  const names = tables.lookups(app);
  const list = new List<tables.PeerRow>({
    name: "peers",
    class: "peers",
    empty: "no event of the network meets the filter",
    sorted: { key: "bytes", isUp: false },
    fields: [
      { key: "what", title: "how", class: "verb", cell: (row) => row.what, sort: (row) => row.what },
      { key: "address", title: "address", class: "address", cell: (row) => cut(row.address, MOST), sort: (row) => row.address },
      { key: "host", title: "name", class: "host", cell: (row) => cut(row.host, 120), sort: (row) => row.host },
      number("times", "times", (row) => row.times),
      {
        key: "failed", title: "failed", class: "failed", sort: (row) => row.failed,
        cell: (row) =>
          row.failed > 0
            ? h("span", { class: "bad" }, `${row.failed > 1 ? `${count(row.failed)} × ` : ""}${row.error}`)
            : h("span", { class: "none" }, "·"),
      },
      bytes("sent", "sent", (row) => row.sent, (row) => row.sent),
      bytes("received", "received", (row) => row.received, (row) => row.received),
      { key: "bytes", title: "all", class: "num bytes", sort: (row) => row.sent + row.received, cell: (row) => size(row.sent + row.received) },
      { key: "by", title: "by", class: "by", cell: (row) => cut(row.by, 80), sort: (row) => row.by },
    ],
    open: (row) => {
      const field = row.what === "connect" ? "remote" : row.what === "datagrams" ? "remotes" : "local";
      app.go("events", both(app.query, term(field, row.address)));
    },
  });
  const lookups = new List<tables.NameRow>({
    name: "names that were looked up",
    class: "names",
    empty: "no name was looked up",
    sorted: { key: "times", isUp: false },
    fields: [
      { key: "host", title: "name", class: "host", cell: (row) => cut(row.host, 200), sort: (row) => row.host },
      { key: "answers", title: "addresses", class: "answers", cell: (row) => cut(row.answers, MOST) },
      number("times", "times", (row) => row.times),
      {
        key: "failed", title: "failed", class: "failed", sort: (row) => row.failed,
        cell: (row) => (row.failed > 0 ? h("span", { class: "bad" }, row.error) : h("span", { class: "none" }, "·")),
      },
      { key: "by", title: "by", class: "by", cell: (row) => cut(row.by, 80), sort: (row) => row.by },
    ],
    open: (row) => app.go("events", both(app.query, `event~dns. ${term("host", row.host)}`)),
  });
  list.set(rows);
  lookups.set(names);
  return {
    element: h(
      "div",
      { class: "screen two" },
      h("section", {}, h("h2", {}, "Peers ", h("span", { class: "count" }, count(rows.length))), list.element),
      h("section", {}, h("h2", {}, "Names ", h("span", { class: "count" }, count(names.length))), lookups.element),
    ),
    list,
    dispose() {
      list.dispose();
      lookups.dispose();
    },
  };
}

export function failures(app: App): Screen {
  const rows = tables.failures(app);
  const list = new List<tables.FailureRow>({
    name: "failures",
    class: "failures",
    empty: "no call that failed meets the filter",
    rowClass: (row) => (tables.weight(row) >= 3 ? "quiet" : ""),
    fields: [
      { key: "error", title: "error", class: "error", cell: (row) => h("span", { class: tables.weight(row) < 2 ? "bad" : "" }, row.error), sort: (row) => row.error },
      { key: "what", title: "what", class: "what", cell: (row) => cut(row.what, MOST), sort: (row) => row.what },
      { key: "program", title: "by", class: "by", cell: (row) => cut(row.program, 60), sort: (row) => row.program },
      number("times", "times", (row) => row.times),
      { key: "kind", title: "event", class: "kind", cell: (row) => h("span", { class: `kind-${toneOf(row.kind)}` }, row.kind), sort: (row) => row.kind },
      { key: "note", title: "note", class: "hint", cell: (row) => (row.isSearch ? "found elsewhere" : "") },
    ],
    open: (row) => app.openEvent(row.event),
  });
  list.set(rows);
  const note = h(
    "p",
    { class: "note" },
    "Refusals and broken connections first; files that were looked for and found in another place last.",
  );
  return { element: screen("list-only", "Failures", list.element, note), list, dispose: () => list.dispose() };
}

/** Why a program is not seen into, and what helps. */
export function explained(app: App, reason: string): { why: string; fix: string } {
  return app.store.begin?.reasons[reason] ?? BLIND[reason] ?? { why: reason, fix: "run 'glassbox doctor'" };
}

/** Programs that cannot be seen into, by reason. */
export function blindness(app: App, most: number): HTMLElement[] {
  const groups = new Map<string, tables.ReasonRow[]>();
  for (const row of tables.reasons(app, "sensor.blind")) {
    const group = groups.get(row.reason);
    if (group) group.push(row);
    else groups.set(row.reason, [row]);
  }
  return [...groups].map(([reason, rows]) => {
    const { why, fix } = explained(app, reason);
    return h(
      "article",
      { class: "reason" },
      h("h3", {}, h("code", {}, reason), " ", why),
      h(
        "ul",
        { class: "programs" },
        rows.slice(0, most).map((row) =>
          h(
            "li",
            {},
            button(cut(row.program, 200), () => app.openEvent(row.event), { class: "link mono" }),
            row.times > 1 && h("span", { class: "times" }, ` ${count(row.times)} ×`),
          ),
        ),
        rows.length > most && h("li", { class: "quiet" }, `and ${count(rows.length - most)} more`),
      ),
      h("p", { class: "fix" }, h("b", {}, "fix "), fix),
    );
  });
}

/** A plain table, which prints. */
export function table(heads: readonly string[], rows: readonly (readonly (string | Node)[])[], caption: string): HTMLElement {
  return h(
    "table",
    {},
    h("caption", { class: "sr" }, caption),
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))),
  );
}

export function sensor(app: App): Screen {
  const { store, processes } = app;
  const blind = blindness(app, 20);
  const losses = tables.reasons(app, "sensor.loss");
  const evasions = tables.reasons(app, "sensor.evasion");
  const ended = processes.list.filter((process) => !Number.isNaN(process.ended));
  const sum = (of: (process: (typeof ended)[number]) => number) => ended.reduce((all, process) => all + of(process), 0);
  const cost = sum((process) => process.sensorNs);
  const cpu = sum((process) => process.userNs + process.systemNs);
  const calls = sum((process) => process.calls);
  const dear = [...ended].sort((a, b) => b.sensorNs - a.sensorNs).filter((process) => process.sensorNs > 0).slice(0, 12);
  const by = (rows: tables.ReasonRow[], texts: Record<string, string>, caption: string) =>
    table(
      ["reason", "times", "program", "what it means"],
      rows.slice(0, 100).map((row) => [
        h("code", {}, row.reason),
        count(row.times),
        button(cut(row.program, 120), () => app.openEvent(row.event), { class: "link mono" }),
        texts[row.reason] ?? "",
      ]),
      caption,
    );
  const begin = store.begin;
  const facts: [string, string][] = [
    ["time in the sensor", `${duration(cost)} of ${duration(cpu)} processor time (${percent(cost, cpu)})`],
    ["calls", `${count(calls)}${calls > 0 ? `, ${duration(cost / calls)} each, starts of processes included` : ""}`],
    ["the collector", store.end ? (store.end.collector_ns > 0 ? duration(store.end.collector_ns) : "not measured") : "not told: no end"],
    ["processes whose end was seen", `${count(ended.length)} of ${count(processes.list.length)}`],
    ["glassbox", begin ? `${begin.version} on ${begin.host}, ${begin.machine}, Linux ${begin.kernel}` : "–"],
  ];
  const element = h(
    "div",
    { class: "screen scroll sensor", tabindex: 0, role: "region", "aria-label": "the sensor" },
    h("h2", {}, "Not seen into"),
    blind.length > 0
      ? h("div", { class: "reasons" }, blind)
      : h("p", { class: "good" }, "No program here is known to have run unseen."),
    h("h2", {}, "Lost"),
    losses.length > 0
      ? by(losses, LOSS, "losses")
      : h("p", { class: "good" }, "No event was lost."),
    evasions.length > 0 && [h("h2", {}, "Evasion"), by(evasions, EVASION, "evasions")],
    h("h2", {}, "Cost"),
    h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    dear.length > 0 &&
      table(
        ["process", "in the sensor", "of its processor time", "calls", "events", "lost", "end"],
        dear.map((process) => [
          button(`${process.pid} ${cut(nameOf(process), 60)}`, () => app.openProcess(process.index), { class: "link mono" }),
          duration(process.sensorNs),
          percent(process.sensorNs, process.userNs + process.systemNs),
          count(process.calls),
          count(process.events),
          count(process.lost),
          endOf(process).text,
        ]),
        "cost by process",
      ),
  );
  return { element };
}
