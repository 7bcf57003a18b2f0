// The answer in one look, in the order of what matters: alerts, failures, what was not seen, then what was
// done.

import { type App, type Screen, both, term } from "./app.ts";
import { button, h } from "./dom.ts";
import { type Process, endOf, lineOf } from "./processes.ts";
import { blindness } from "./screens.ts";
import { type Alert, PRIORITIES } from "./store.ts";
import * as tables from "./tables.ts";
import { base, count, cut, duration, plural, size } from "./text.ts";

/** A part with a heading that leads to its view. */
function part(app: App, title: string, view: Parameters<App["go"]>[0] | null, more: string, ...children: (Node | null | false)[]): HTMLElement {
  return h(
    "section",
    { class: `part ${title.toLowerCase().replaceAll(" ", "-")}` },
    h(
      "header",
      {},
      h("h2", {}, title),
      view && h("a", { href: `#${view}`, onclick: (event: Event) => (event.preventDefault(), app.go(view)) }, more),
    ),
    ...children,
  );
}

/** `cat (12) ← sh (11) ← sshd (10)`; each known process can be opened. */
export function ancestry(app: App, alert: Alert): HTMLElement {
  const known = app.processes.lineage(app.processes.ofEvent(alert.event));
  return h(
    "p",
    { class: "ancestry mono" },
    alert.ancestry.map((program, place) => {
      const name = cut(program.name || base(program.exe) || "?", 40);
      const process = known.find((process) => process.pid === program.pid);
      return [
        place > 0 && h("span", { class: "quiet" }, " ← "),
        process
          ? button(`${name} (${program.pid})`, () => app.openProcess(process.index), { class: "link" })
          : `${name} (${program.pid})`,
      ];
    }),
  );
}

/** An alert's rule, what it says, and who did it. */
export function alertCard(app: App, alert: Alert, times: number): HTMLElement {
  return h(
    "article",
    { class: `alert-card urgency-${tables.urgency(alert.priority, PRIORITIES) <= 3 ? "high" : "low"}` },
    h(
      "h3",
      {},
      h("span", { class: "priority" }, alert.priority),
      " ",
      button(alert.rule, () => app.openEvent(alert.event), { class: "link" }),
      times > 1 && [
        " ",
        button(`${count(times)} ×`, () => app.go("events", both(app.query, term("rule", alert.rule))), {
          class: "link times", title: "all of them",
        }),
      ],
    ),
    h("p", { class: "said mono" }, cut(alert.output, 600)),
    ancestry(app, alert),
    alert.tags.length > 0 && h("p", { class: "tags" }, alert.tags.map((tag) => h("span", { class: "tag" }, tag))),
  );
}

function list(rows: HTMLElement[], empty: string): HTMLElement {
  return rows.length > 0 ? h("ul", { class: "rows" }, rows) : h("p", { class: "quiet" }, empty);
}

export function failureLine(app: App, row: tables.FailureRow): HTMLElement {
  return h(
    "li",
    {},
    h("code", { class: ["bad", "bad", "", "quiet", "quiet"][tables.weight(row)] }, row.error),
    " ",
    button(cut(row.what, 160) || row.kind, () => app.openEvent(row.event), { class: "link mono" }),
    h("span", { class: "quiet" }, ` by ${cut(row.program, 60)}`),
    row.times > 1 && h("span", { class: "times" }, ` ${count(row.times)} ×`),
  );
}

export function summary(app: App): Screen {
  const { store, processes } = app;
  const chosen = new Set<number>();
  for (const event of app.rows) chosen.add(processes.of[event] ?? 0);
  const rules = tables.rules(app, PRIORITIES);
  const failures = tables.failures(app);
  const grave = failures.filter((row) => tables.weight(row) < 3);
  const blind = blindness(app, 6);
  const files = tables.files(app);
  const written = files.filter((row) => row.writes > 0 || row.written > 0 || row.changes > 0);
  // Devices and pipes last.
  const isPlain = (row: tables.FileRow) => (/^\/(?!dev\/)/.test(row.path) ? 0 : 1);
  written.sort((a, b) => isPlain(a) - isPlain(b) || b.written - a.written || b.changes - a.changes);
  const peers = tables.peers(app).sort((a, b) => b.failed - a.failed || b.sent + b.received - a.sent - a.received);
  const names = tables.lookups(app);
  const losses = tables.reasons(app, "sensor.loss");
  const lost = losses.reduce((all, row) => all + row.times, 0);

  const fact = (number: string, name: string, is = "") => h("li", { class: is }, h("b", {}, number), " ", name);
  const alerts = rules.reduce((all, row) => all + row.times, 0);
  const failed = failures.reduce((all, row) => all + row.times, 0);
  const facts = h(
    "ul",
    { class: "figures" },
    fact(count(alerts), alerts === 1 ? "alert" : "alerts", alerts > 0 ? "is-bad" : ""),
    fact(count(failed), failed === 1 ? "failed call" : "failed calls"),
    fact(count(chosen.size), chosen.size === 1 ? "process" : "processes"),
    fact(count(app.rows.length), app.rows.length === 1 ? "event" : "events"),
    fact(duration(store.span), "from first to last"),
    fact(count(lost), "lost", lost > 0 ? "is-bad" : "is-good"),
  );

  const longest = [...chosen]
    .map((index) => processes.at(index))
    .sort((a, b) => processes.until(b) - b.began - (processes.until(a) - a.began))
    .slice(0, 10)
    .sort((a, b) => a.began - b.began);
  const bar = (process: Process) => {
    const track = h("div", { class: "track", "aria-hidden": "true" });
    const { is } = endOf(process);
    const mark = h("div", { class: `bar ${is} ${process.blind ? "blind" : ""}` });
    const span = Math.max(1, store.span);
    mark.style.left = `${(100 * process.began) / span}%`;
    mark.style.width = `max(3px, ${(100 * (processes.until(process) - process.began)) / span}%)`;
    track.append(mark);
    return track;
  };

  const element = h(
    "div",
    { class: "screen scroll summary", tabindex: 0, role: "region", "aria-label": "summary" },
    facts,
    rules.length > 0 &&
      part(
        app, "Alerts", "events", "events", ...rules.map((row) => alertCard(app, store.alerts[row.first] as Alert, row.times)),
      ),
    h(
      "div",
      { class: "columns" },
      part(
        app, "Failed", "failures", `all ${count(failures.length)}`,
        list(grave.slice(0, 12).map((row) => failureLine(app, row)), "nothing that matters"),
        failures.length > grave.length &&
          h(
            "p",
            { class: "quiet" },
            `and ${count(failures.length - grave.length)} of no concern: found elsewhere, or a question whose answer is no`,
          ),
      ),
      part(
        app, "Not seen", "sensor", "what the sensor says",
        ...(blind.length > 0 ? blind : [h("p", { class: "good" }, "No program here is known to have run unseen.")]),
        h(
          "p",
          { class: lost > 0 ? "bad" : "good" },
          lost > 0 ? `${plural(lost, "event")} lost: ${losses.map((row) => row.reason).filter((reason, at, all) => all.indexOf(reason) === at).join(", ")}` : "No event was lost.",
        ),
      ),
      part(
        app, "Processes", "processes", chosen.size > longest.length ? `all ${count(chosen.size)}, over time` : "over time",
        h(
          "ul",
          { class: "rows bars" },
          longest.map((process) =>
            h(
              "li",
              {},
              button(cut(lineOf(process), 200), () => app.openProcess(process.index), { class: "link mono clip" }),
              h("span", { class: `state ${endOf(process).is}` }, endOf(process).text),
              h("span", { class: "quiet num" }, duration(processes.until(process) - process.began)),
              bar(process),
            ),
          ),
        ),
      ),
      part(
        app, "Files", "files", `all ${count(files.length)}`,
        list(
          written.slice(0, 10).map((row) =>
            h(
              "li",
              {},
              h("span", { class: "amount num" }, row.writes > 0 || row.written > 0 ? size(row.written) : row.change),
              " ",
              button(cut(row.path, 200), () => app.go("events", both(app.query, term("path", row.path))), { class: "link mono" }),
              h("span", { class: "quiet" }, ` by ${cut(row.by, 40)}`),
            ),
          ),
          "nothing was written or changed",
        ),
      ),
      part(
        app, "Network", "network", `all ${count(peers.length)}`,
        list(
          peers.slice(0, 10).map((row) =>
            h(
              "li",
              {},
              h("span", { class: "verb" }, row.what),
              " ",
              h("span", { class: "mono" }, cut(row.address, 100)),
              row.host && h("span", {}, ` ${cut(row.host, 80)}`),
              row.failed > 0 && h("code", { class: "bad" }, ` ${row.error}`),
              row.sent + row.received > 0 && h("span", { class: "num" }, ` ${size(row.sent)} sent, ${size(row.received)} received`),
              h("span", { class: "quiet" }, ` by ${cut(row.by, 40)}`),
            ),
          ),
          "no connection",
        ),
        names.length > 0 &&
          h(
            "ul",
            { class: "rows" },
            names.slice(0, 6).map((row) =>
              h(
                "li",
                {},
                h("span", { class: "verb" }, "look up"),
                " ",
                h("span", { class: "mono" }, cut(row.host, 100)),
                row.answers && h("span", { class: "quiet mono" }, ` → ${cut(row.answers, 80)}`),
                row.error && h("code", { class: "bad" }, ` ${row.error}`),
              ),
            ),
          ),
      ),
    ),
  );
  return { element };
}
