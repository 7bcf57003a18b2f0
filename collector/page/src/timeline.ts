// The processes over time: a line each, a bar from beginning to end, and the density of events above.

import type { App, Screen } from "./app.ts";
import { both } from "./app.ts";
import { button, fill, h } from "./dom.ts";
import { List } from "./list.ts";
import { type Process, endOf, lineOf } from "./processes.ts";
import { count, cut, duration, plural } from "./text.ts";

/** Columns of the density. */
const BINS = 240;
/** The shortest time that is shown. */
const SHORTEST = 1_000;

interface Line {
  process: Process;
  depth: number;
  hasChildren: boolean;
}

/** Round times for the axis: 1, 2 or 5 times a power of ten. */
export function step(span: number, most: number): number {
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  for (const factor of [1, 2, 5]) if (factor * power >= rough) return factor * power;
  return 10 * power;
}

/** A time on the axis, as exact as the axis is: `1 234 ms`. */
export function label(at: number, each: number): string {
  if (at === 0) return "0";
  for (const [unit, name] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]] as const) {
    if (each >= unit) return `${count(Math.round(at / unit))} ${name}`;
  }
  return `${count(Math.round(at))} ns`;
}

/** The processes that are shown: those with events that meet the filter, with what they descend from. */
function kept(app: App): Set<number> {
  const { processes } = app;
  const all = new Set<number>();
  for (const event of app.rows) {
    for (let index = processes.of[event] ?? -1; index >= 0 && !all.has(index); index = processes.at(index).parent) {
      all.add(index);
    }
  }
  // A child that did nothing itself has no event of its own.
  if (app.rows.length === app.store.length) for (const process of processes.list) all.add(process.index);
  return all;
}

export function timeline(app: App): Screen & { from: number; to: number } {
  const { store, processes } = app;
  const span = Math.max(store.span, SHORTEST);
  const closed = new Set<number>();
  const those = kept(app);
  const view = { from: 0, to: span };
  // Failures and alerts of a process, which are marks on its bar.
  const marks = new Map<number, { at: number; is: "alert" | "failure" }[]>();
  for (const event of app.rows) {
    const is = store.alertsOf.has(event) ? "alert" : store.cell(event, "error") ? "failure" : undefined;
    if (!is) continue;
    const index = processes.of[event] ?? 0;
    const list = marks.get(index) ?? [];
    list.push({ at: store.at(event), is });
    marks.set(index, list);
  }

  const list = new List<Line>({
    name: "processes over time",
    class: "timeline",
    empty: "no process has an event that meets the filter",
    fields: [
      { key: "name", title: "process", class: "name", cell: name },
      { key: "bar", title: "time", class: "lane", cell: ({ process }) => lane(process) },
      { key: "end", title: "end", class: "end", cell: ({ process }) => ending(process) },
      { key: "lasted", title: "lasted", class: "num lasted", cell: ({ process }) => lasted(process) },
      { key: "cpu", title: "cpu", class: "num cpu", cell: ({ process }) => cpu(process) },
      { key: "events", title: "events", class: "num events", cell: ({ process }) => count(process.events) },
    ],
    open: ({ process }) => app.openProcess(process.index),
  });

  function lines(): Line[] {
    const all: Line[] = [];
    const next = [...processes.roots].reverse().map((index) => ({ index, depth: 0 }));
    for (let at = next.pop(); at; at = next.pop()) {
      if (!those.has(at.index)) continue;
      const process = processes.at(at.index);
      const children = process.children.filter((child) => those.has(child));
      all.push({ process, depth: at.depth, hasChildren: children.length > 0 });
      if (closed.has(at.index)) continue;
      for (const index of children.reverse()) next.push({ index, depth: at.depth + 1 });
    }
    return all;
  }

  function name({ process, depth, hasChildren }: Line): HTMLElement {
    const isClosed = closed.has(process.index);
    const cell = h("span", { class: "indent" });
    cell.style.paddingInlineStart = `${Math.min(depth, 24) * 14}px`;
    const toggle = hasChildren
      ? button(isClosed ? "▸" : "▾", () => fold(process.index), {
          class: "fold", tabindex: -1, "aria-label": `${isClosed ? "show" : "hide"} the children of ${process.pid}`,
        })
      : h("span", { class: "fold" });
    const text = cut(lineOf(process), 300);
    cell.append(
      toggle,
      h("span", { class: "pid" }, process.pid),
      h("span", { class: `line ${process.blind ? "blind" : ""}`, title: text }, text),
    );
    return cell;
  }

  function fold(index: number): void {
    if (!closed.delete(index)) closed.add(index);
    list.set(lines());
  }

  function place(at: number): number {
    return (100 * (at - view.from)) / (view.to - view.from);
  }

  function lane(process: Process): HTMLElement {
    const track = h("div", { class: "track" });
    const until = processes.until(process);
    if (until >= view.from && process.began <= view.to) {
      const from = Math.max(-1, place(process.began));
      const to = Math.min(101, place(until));
      const { is, text } = endOf(process);
      const bar = h("div", { class: `bar ${is} ${process.blind ? "blind" : ""}` });
      bar.style.left = `${from}%`;
      bar.style.width = `max(3px, ${to - from}%)`;
      bar.title = `${duration(process.began)} to ${duration(until)}, ${text}`;
      track.append(bar);
      for (const image of process.images.slice(1)) track.append(tick("exec", image.at));
      let last = Number.NEGATIVE_INFINITY;
      for (const mark of marks.get(process.index) ?? []) {
        // One mark for each two thousandths of the width is as many as can be told apart.
        const at = place(mark.at);
        if (at < -1 || at > 101 || (mark.is === "failure" && at - last < 0.2)) continue;
        if (mark.is === "failure") last = at;
        track.append(tick(mark.is, mark.at));
      }
    }
    return track;
  }

  function tick(is: string, at: number): HTMLElement {
    const mark = h("span", { class: `tick ${is}` });
    mark.style.left = `${place(at)}%`;
    return mark;
  }

  function ending(process: Process): HTMLElement {
    const { text, is } = endOf(process);
    return h("span", { class: `state ${is}` }, text);
  }

  const lasted = (process: Process) => duration(processes.until(process) - process.began);
  const cpu = (process: Process) =>
    Number.isNaN(process.ended) ? "" : duration(process.userNs + process.systemNs);

  // The density of events, on which a range can be chosen.
  const canvas = h("canvas", { class: "density", width: BINS * 4, height: 48, "aria-hidden": "true" });
  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  const brush = h("div", { class: "brush", hidden: true });
  const strip = h("div", { class: "strip" }, canvas, brush, axis);
  const range = h("output", { class: "range", "aria-live": "polite" });
  const key = h(
    "p",
    { class: "key" },
    h("span", { class: "swatch well" }), " exit 0 ",
    h("span", { class: "swatch failed" }), " another status ",
    h("span", { class: "swatch killed" }), " signal ",
    h("span", { class: "swatch open" }), " no end seen ",
    h("span", { class: "swatch blind" }), " not seen into ",
    h("span", { class: "mark failure" }), " failed call ",
    h("span", { class: "mark alert" }), " alert",
  );
  const tools = h(
    "div",
    { class: "tools" },
    button("−", () => zoom(2), { "aria-label": "zoom out", title: "zoom out (-)" }),
    button("+", () => zoom(0.5), { "aria-label": "zoom in", title: "zoom in (+)" }),
    button("all", () => show(0, span), { title: "the whole time (0)" }),
    button("events of this time", () => {
      const [from, to] = [Math.floor(view.from), Math.ceil(view.to)];
      app.go("events", both(app.query, `at>=${from}ns at<=${to}ns`));
    }),
    range,
  );
  const element = h("div", { class: "screen processes" }, h("h2", { class: "sr" }, "Processes"), tools, strip, list.element, key);

  function density(): void {
    const all = new Uint32Array(BINS);
    const failed = new Uint32Array(BINS);
    const width = (view.to - view.from) / BINS;
    for (const event of app.rows) {
      const bin = Math.floor((store.at(event) - view.from) / width);
      if (bin < 0 || bin > BINS) continue;
      const at = Math.min(bin, BINS - 1);
      all[at] = (all[at] ?? 0) + 1;
      if (store.cell(event, "error")) failed[at] = (failed[at] ?? 0) + 1;
    }
    const most = Math.max(1, ...all);
    const context = canvas.getContext("2d");
    if (!context) return;
    const style = getComputedStyle(element);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const draw = (counts: Uint32Array, colour: string) => {
      context.fillStyle = style.getPropertyValue(colour);
      counts.forEach((number, bin) => {
        if (number === 0) return;
        // The root shows a single event beside a thousand.
        const high = Math.max(2, Math.sqrt(number / most) * canvas.height);
        context.fillRect(bin * 4, canvas.height - high, 3, high);
      });
    };
    draw(all, "--bar");
    draw(failed, "--bad");
  }

  function ticks(): void {
    const width = strip.clientWidth || 800;
    const each = step(view.to - view.from, Math.max(2, Math.floor(width / 110)));
    const labels: HTMLElement[] = [];
    for (let at = Math.ceil(view.from / each) * each; at <= view.to; at += each) {
      const mark = h("span", {}, label(at, each));
      mark.style.left = `${place(at)}%`;
      labels.push(mark);
    }
    fill(axis, labels);
    const exact = each / 10;
    range.textContent = `${label(view.from, exact)} – ${label(view.to, exact)} of ${duration(span)}`;
  }

  function show(from: number, to: number): void {
    const width = Math.min(span, Math.max(SHORTEST, to - from));
    view.from = Math.max(0, Math.min(from, span - width));
    view.to = view.from + width;
    density();
    ticks();
    list.redraw();
  }

  function zoom(factor: number, around = 0.5): void {
    const width = view.to - view.from;
    const centre = view.from + width * around;
    show(centre - width * factor * around, centre + width * factor * (1 - around));
  }

  function pan(by: number): void {
    const width = view.to - view.from;
    show(view.from + width * by, view.to + width * by);
  }

  const shareAt = (event: MouseEvent) => {
    const box = strip.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  };
  let begun = Number.NaN;
  strip.addEventListener("pointerdown", (event) => {
    begun = shareAt(event);
    strip.setPointerCapture(event.pointerId);
  });
  strip.addEventListener("pointermove", (event) => {
    if (Number.isNaN(begun)) return;
    const to = shareAt(event);
    brush.hidden = false;
    brush.style.left = `${100 * Math.min(begun, to)}%`;
    brush.style.width = `${100 * Math.abs(to - begun)}%`;
  });
  strip.addEventListener("pointerup", (event) => {
    const to = shareAt(event);
    const [left, right] = [Math.min(begun, to), Math.max(begun, to)];
    begun = Number.NaN;
    brush.hidden = true;
    const width = view.to - view.from;
    if (right - left > 0.01) show(view.from + left * width, view.from + right * width);
  });
  element.addEventListener(
    "wheel",
    (event) => {
      const isZoom = event.ctrlKey || event.metaKey;
      if (!isZoom && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
      event.preventDefault();
      if (isZoom) zoom(event.deltaY > 0 ? 1.25 : 0.8, shareAt(event));
      else pan(event.deltaX / 1000);
    },
    { passive: false },
  );
  const watch = new ResizeObserver(ticks);
  watch.observe(strip);

  list.set(lines());
  // The style is known once the element is in the document.
  requestAnimationFrame(() => show(view.from, view.to));
  element.dataset.lines = plural(list.length, "process");
  return {
    element,
    list,
    get from() {
      return view.from;
    },
    get to() {
      return view.to;
    },
    key(event) {
      const keys: Record<string, () => void> = {
        "+": () => zoom(0.5),
        "=": () => zoom(0.5),
        "-": () => zoom(2),
        "0": () => show(0, span),
        ArrowLeft: () => pan(-0.2),
        ArrowRight: () => pan(0.2),
        " ": () => {
          const line = list.row(list.current);
          if (line) fold(line.process.index);
        },
      };
      const action = keys[event.key];
      action?.();
      return action !== undefined;
    },
    dispose() {
      watch.disconnect();
      list.dispose();
    },
  };
}
