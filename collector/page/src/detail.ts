// The drawer: one event, or one process, with all that is known of it.

import { type App, both, term } from "./app.ts";
import { type Child, button, h } from "./dom.ts";
import { about, outcome, toneOf } from "./event.ts";
import { type Process, endOf, lineOf, nameOf } from "./processes.ts";
import { alertCard } from "./summary.ts";
import { explained, seconds } from "./screens.ts";
import { command, count, cut, duration, plural, size } from "./text.ts";

/** Puts text on the clipboard. */
export async function copy(app: App, text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that was opened from a file may not have the clipboard.
    const area = h("textarea", { class: "sr", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  app.say(`${what} copied`);
}

/** Fields whose numbers are durations, or bytes. */
function shown(field: string, value: unknown): Child {
  if (typeof value === "number") {
    if (field.endsWith("_ns") && field !== "pid_ns" && field !== "mnt_ns") return `${count(value)} ns (${duration(value)})`;
    if (/^(bytes_|max_rss$|len$|length$)/.test(field)) return `${count(value)} (${size(value)})`;
    return String(value);
  }
  if (Array.isArray(value)) {
    if (field === "argv") return value.map((word) => h("span", { class: "word" }, String(word)));
    return value.join(" ");
  }
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).map(([name, inner]) => h("div", {}, `${name}=${String(inner)}`));
  }
  return String(value);
}

function line(app: App, process: Process): HTMLElement {
  const all = app.processes.lineage(process);
  return h(
    "ol",
    { class: "lineage", "aria-label": "ancestry, the nearest first" },
    all.map((ancestor) =>
      h(
        "li",
        {},
        button(`${ancestor.pid}`, () => app.openProcess(ancestor.index), { class: "link pid" }),
        " ",
        h("span", { class: "mono" }, cut(lineOf(ancestor), 300)),
      ),
    ),
  );
}

export function eventDetail(app: App, event: number): HTMLElement {
  const { store } = app;
  const object = store.object(event);
  const name = store.kind(event).name;
  const process = app.processes.ofEvent(event);
  const alerts = store.alertsOf.get(event) ?? [];
  const fields = Object.entries(object).filter(([field]) => field !== "event");
  return h(
    "div",
    {},
    h(
      "header",
      {},
      h("h2", {}, h("span", { class: `kind-${toneOf(name)}` }, name), " ", h("span", { class: "bad" }, String(object.error ?? outcome(store, event)))),
      h("p", { class: "mono about" }, cut(about(store, event), 2000)),
      h("p", { class: "quiet" }, `+${seconds(store.at(event))} s, ${store.utc(store.at(event))} UTC`),
    ),
    h(
      "div",
      { class: "tools" },
      button("copy JSON", () => void copy(app, store.line(event), "event"), { "data-key": "c", title: "copy the event as JSON (c)" }),
      button("copy link", () => void copy(app, location.href, "link"), { title: "a link to this place of this file" }),
      button("among all events", () => app.go("events", ""), { title: "the events before and after it" }),
    ),
    alerts.map((alert) => alertCard(app, alert, 1)),
    h("h3", {}, "Process"),
    line(app, process),
    h("h3", {}, "Fields"),
    h(
      "dl",
      { class: "fields" },
      fields.map(([field, value]) => {
        const text = store.text(event, field);
        return [
          h(
            "dt",
            {},
            field !== "time" && text !== "" && typeof value !== "object"
              ? button(field, () => app.go("events", both(app.query, term(field, text))), {
                  class: "link", title: `only events with this ${field}`,
                })
              : field,
          ),
          h("dd", { class: "mono" }, shown(field, value)),
        ];
      }),
    ),
  );
}

export function processDetail(app: App, process: Process): HTMLElement {
  const { store, processes } = app;
  const end = endOf(process);
  const until = processes.until(process);
  const alerts = store.alerts.filter((alert) => processes.of[alert.event] === process.index);
  const facts: [string, Child][] = [
    ["pid", `${process.pid}${process.namespace ? ` in the pid namespace ${process.namespace}` : ""}`],
    ["parent", Number.isNaN(process.ppid) ? "–" : String(process.ppid)],
    ["program", process.exe || "–"],
    ["directory", process.cwd || "–"],
    ["user", Number.isNaN(process.uid) ? "–" : `${process.uid}${process.euid !== process.uid && !Number.isNaN(process.euid) ? `, effective ${process.euid}` : ""}`],
    ["began", `+${seconds(process.began)} s, ${store.utc(process.began)} UTC`],
    ["end", [h("span", { class: `state ${end.is}` }, end.text), Number.isNaN(process.ended) ? "" : ` at +${seconds(process.ended)} s`]],
    ["lasted", duration(until - process.began)],
    ["processor", `${duration(process.userNs)} user, ${duration(process.systemNs)} system`],
    ["memory", process.maxRss > 0 ? size(process.maxRss) : "–"],
    ["events", `${count(process.events)}, ${count(process.failures)} failed, ${count(process.lost)} lost`],
    ["sensor", `${duration(process.sensorNs)} in ${plural(process.calls, "call")}`],
  ];
  if (process.container) facts.splice(4, 0, ["container", process.container]);
  const blind = process.blind ? explained(app, process.blind) : null;
  return h(
    "div",
    {},
    h(
      "header",
      {},
      h("h2", {}, nameOf(process), " ", h("span", { class: "quiet" }, String(process.pid))),
      h("p", {}, h("span", { class: `state ${end.is}` }, end.text), ` after ${duration(until - process.began)}`),
    ),
    h(
      "div",
      { class: "tools" },
      button(`its ${plural(process.events, "event")}`, () => app.go("events", term("pid", String(process.pid)))),
      button("with all below it", () => app.go("events", term("tree", String(process.pid)))),
      process.failures > 0 && button("its failures", () => app.go("failures", term("pid", String(process.pid)))),
    ),
    blind && h("p", { class: "reason" }, h("code", {}, process.blind), ` ${blind.why} `, h("b", {}, "fix "), blind.fix),
    alerts.slice(0, 20).map((alert) => alertCard(app, alert, 1)),
    process.images.length > 0 && h("h3", {}, process.images.length > 1 ? "Programs" : "Command"),
    process.images.slice(0, 50).map((image) =>
      h(
        "p",
        { class: "mono command" },
        button(`+${seconds(image.at)}`, () => app.openEvent(image.event), { class: "link quiet" }),
        " ",
        cut(image.argv.length > 0 ? command(image.argv) : image.exe, 8000),
      ),
    ),
    h("h3", {}, "Facts"),
    h("dl", { class: "fields" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", { class: "mono" }, value)])),
    h("h3", {}, "Ancestry"),
    line(app, process),
    process.children.length > 0 && [
      h("h3", {}, plural(process.children.length, "child").replace("childs", "children")),
      h(
        "ul",
        { class: "rows" },
        process.children.slice(0, 100).map((index) => {
          const child = processes.at(index);
          return h(
            "li",
            {},
            button(String(child.pid), () => app.openProcess(index), { class: "link pid" }),
            " ",
            h("span", { class: "mono" }, cut(lineOf(child), 200)),
            " ",
            h("span", { class: `state ${endOf(child).is}` }, endOf(child).text),
          );
        }),
        process.children.length > 100 && h("li", { class: "quiet" }, `and ${count(process.children.length - 100)} more`),
      ),
    ],
  );
}
