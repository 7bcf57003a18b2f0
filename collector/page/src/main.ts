// The page: reads the document's events, keeps the state in the address, and shows one view at a time.

import { type App, type Screen, VIEWS, type View } from "./app.ts";
import { Lines, bytesOf, inflate } from "./decode.ts";
import { copy, eventDetail, processDetail } from "./detail.ts";
import { button, fill, h } from "./dom.ts";
import { MADE, type Query, Search, Wrong, parse } from "./filter.ts";
import { paper } from "./paper.ts";
import { Processes, lineOf } from "./processes.ts";
import * as screens from "./screens.ts";
import { Store } from "./store.ts";
import { summary } from "./summary.ts";
import { count, cut, duration, plural } from "./text.ts";
import { timeline } from "./timeline.ts";

/** Times that tests read. */
interface Times {
  loaded: number;
  filtered: number;
  drawn: number;
}

declare global {
  interface Window {
    glassbox: { times: Times; events: number; isReady: boolean };
  }
}

const MAKE: Record<View, (app: App) => Screen> = {
  summary,
  processes: timeline,
  events: screens.events,
  files: screens.files,
  network: screens.network,
  failures: screens.failures,
  sensor: screens.sensor,
};

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "filter"],
  ["j k ↓ ↑", "next, previous row"],
  ["Enter", "open the row"],
  ["Esc", "close; leave the filter"],
  ["1 … 7", "the views, in their order"],
  ["c", "copy the open event as JSON"],
  ["n p", "next, previous event, while one is open"],
  ["+ - 0", "zoom the timeline in, out, to the whole"],
  ["← →", "move along the timeline"],
  ["space", "fold a process in the timeline"],
  ["t", "light or dark"],
  ["?", "this help"],
];

const EXAMPLES: readonly (readonly [string, string])[] = [
  ["shadow", "any value that has this text, whatever its case"],
  ["path=/etc/passwd", "a field that is this"],
  ["path~/etc/ error=*", "both: a path with this in it, and any error"],
  ["error!=ENOENT", "another error than this"],
  ["not event~file", "not this"],
  ["(event=net.connect or event=dns.query) program=curl", "groups"],
  ["bytes_written>1MB", "numbers, with B kB MB, ns us ms s"],
  ["at>1.5s tree=4121", "after this time; a process and all below it"],
];

export async function start(root: HTMLElement): Promise<void> {
  const begun = performance.now();
  window.glassbox = { times: { loaded: 0, filtered: 0, drawn: 0 }, events: 0, isReady: false };
  const store = new Store();
  const missing = await read(store, (text) => fill(root, h("p", { class: "loading", role: "status" }, text)));
  const processes = new Processes(store);
  window.glassbox.events = store.length;
  window.glassbox.times.loaded = performance.now() - begun;
  new Page(root, store, processes, missing).begin();
  window.glassbox.isReady = true;
}

/** Reads all elements with events; says what is missing, in words. */
async function read(store: Store, say: (text: string) => void): Promise<string> {
  const elements = [...document.querySelectorAll("script.events")];
  if (typeof DecompressionStream === "undefined") {
    return "this browser is too old to unpack its events (it lacks DecompressionStream)";
  }
  let why = elements.length === 0 ? "it has no events: it was cut before the first one" : "";
  for (const element of elements) {
    const bytes = bytesOf(element.textContent ?? "");
    const lines = new Lines((line) => store.take(line));
    let said = performance.now();
    say("reading events …");
    const ending = await inflate(bytes, (text) => {
      lines.add(text);
      if (performance.now() - said > 200) {
        said = performance.now();
        say(`reading events … ${count(store.length)}`);
      }
    });
    // The text is not needed any more.
    element.textContent = "";
    if (lines.end() || !ending.isWhole) why = "it ends in the middle";
  }
  if (!why && !store.end) why = "it ends without an end";
  return why;
}

class Page {
  private app: App;
  private readonly search: Search;
  private view: View = "summary";
  private query = "";
  private event = -1;
  private process = -1;
  private screen: Screen | null = null;
  private readonly input: HTMLInputElement;
  private readonly problem: HTMLElement;
  private readonly matched: HTMLElement;
  private readonly main: HTMLElement;
  private readonly drawer: HTMLElement;
  private readonly live: HTMLElement;
  private readonly nav: HTMLElement;
  private readonly print: HTMLElement;
  private readonly help: HTMLDialogElement;
  /** Where the focus was before the drawer opened. */
  private before: HTMLElement | null = null;
  private readonly title: string;

  constructor(
    private readonly root: HTMLElement,
    private readonly store: Store,
    processes: Processes,
    private readonly cut: string,
  ) {
    this.search = new Search(store, processes);
    const page = this;
    this.app = {
      store,
      processes,
      rows: this.search.rows({ is: "all" }),
      cut,
      get query() {
        return page.query;
      },
      go: (view, query) => this.go(view, query),
      openEvent: (event) => this.open(event, -1),
      openProcess: (index) => this.open(-1, index),
      say: (text) => this.say(text),
    };
    const first = processes.list[0];
    this.title = first ? lineOf(first) : "no process";
    document.title = `glassbox: ${this.title.slice(0, 80)}`;

    this.input = h("input", {
      type: "search", id: "filter", placeholder: "filter: text, field=value, field~text, and or not", spellcheck: "false",
      autocomplete: "off", autocapitalize: "off", "aria-label": "filter", "aria-describedby": "problem matched",
      oninput: () => this.typed(),
      onkeydown: (event: KeyboardEvent) => {
        if (event.key === "Enter" || (event.key === "Escape" && this.input.value === "")) this.focusScreen();
      },
    });
    this.problem = h("p", { id: "problem", class: "problem", role: "status" });
    this.matched = h("output", { id: "matched", class: "matched", for: "filter" });
    this.nav = h("nav", { "aria-label": "views" });
    this.main = h("main", { id: "main" });
    this.drawer = h("aside", { class: "drawer", "aria-label": "detail", tabindex: -1, hidden: true });
    this.live = h("div", { class: "toast", role: "status" });
    this.print = h("div", { class: "paper" });
    this.help = this.makeHelp();
  }

  begin(): void {
    const { store } = this;
    const begin = store.begin;
    const about = [begin?.host, store.length > 0 ? `${store.utc(0).slice(0, 19)} UTC` : "", duration(store.span)];
    fill(
      this.root,
      h(
        "div",
        { class: "page" },
        h(
          "header",
          { class: "top" },
          h("h1", { title: this.title }, h("span", { class: "brand" }, "glassbox"), " ", h("span", { class: "mono" }, cut(this.title, 300))),
          h("p", { class: "about" }, about.filter(Boolean).join(" · ")),
          h(
            "div",
            { class: "tools" },
            button("◐", () => this.theme(), { "aria-label": "light or dark", title: "light or dark (t)", class: "icon" }),
            button("?", () => this.showHelp(), { "aria-label": "help", title: "keys and filter (?)", class: "icon" }),
          ),
        ),
        this.notices(),
        h("div", { class: "bar-row", role: "search" }, h("div", { class: "search" }, this.input, this.matched), this.problem),
        this.nav,
        h("div", { class: "body" }, this.main, this.drawer),
        this.live,
      ),
      this.print,
      this.help,
    );
    addEventListener("hashchange", () => this.fromAddress());
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("beforeprint", () => this.forPaper());
    matchMedia("print").addEventListener("change", (event) => event.matches && this.forPaper());
    try {
      const theme = localStorage.getItem("glassbox-theme");
      if (theme) document.documentElement.dataset.theme = theme;
    } catch {
      // A page from a file may have no storage.
    }
    this.fromAddress(true);
  }

  private notices(): HTMLElement | null {
    const notes: string[] = [];
    if (this.cut) {
      notes.push(
        typeof DecompressionStream === "undefined"
          ? `Nothing can be shown: ${this.cut}.`
          : `This report was cut: ${this.cut}. The collector was killed, or still writes it. Everything up to there is shown.`,
      );
    }
    if (this.store.begin?.is_resumed || (this.store.end?.restarts ?? 0) > 0) {
      notes.push("The collector died on the way and was started again; events of that moment may be missing.");
    }
    if (this.store.malformed > 0) notes.push(`${plural(this.store.malformed, "line")} could not be read.`);
    return notes.length > 0 ? h("div", { class: "notices", role: "note" }, notes.map((note) => h("p", {}, note))) : null;
  }

  private makeHelp(): HTMLDialogElement {
    const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title" });
    fill(
      dialog,
      h("h2", { id: "help-title" }, "Keys"),
      h("dl", {}, KEYS.map(([keys, what]) => [h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, what)])),
      h("h2", {}, "Filter"),
      h(
        "dl",
        { class: "wide" },
        EXAMPLES.map(([example, what]) => [
          h("dt", {}, button(example, () => (dialog.close(), this.go(this.view, example)), { class: "link mono" })),
          h("dd", {}, what),
        ]),
      ),
      h("p", {}, "Fields are those of jsonl, as an open event shows them, and: ", Object.entries(MADE).map(([name, what], place) => [place > 0 && "; ", h("code", {}, name), `, ${what}`]), "."),
      h("p", {}, "The address of this page has view, filter and open event: it can be kept as a link."),
      button("close", () => dialog.close()),
    );
    return dialog;
  }

  private showHelp(): void {
    if (!this.help.open) this.help.showModal();
  }

  private theme(): void {
    const root = document.documentElement;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try {
      localStorage.setItem("glassbox-theme", root.dataset.theme);
    } catch {
      // See above.
    }
    this.show();
  }

  private say(text: string): void {
    this.live.textContent = text;
    this.live.classList.add("is-shown");
    setTimeout(() => this.live.classList.remove("is-shown"), 1600);
  }

  /** The state as it stands in the address. */
  private address(): string {
    const parts = new URLSearchParams();
    if (this.query) parts.set("q", this.query);
    if (this.event >= 0) parts.set("event", String(this.event + 1));
    if (this.process >= 0) parts.set("process", String(this.process + 1));
    const text = parts.toString();
    return `#${this.view}${text ? `?${text}` : ""}`;
  }

  private keep(isNew: boolean): void {
    const address = this.address();
    if (address === location.hash) return;
    if (isNew) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }

  private fromAddress(isFirst = false): void {
    const [name = "", rest = ""] = location.hash.slice(1).split("?", 2);
    const parts = new URLSearchParams(rest);
    this.view = VIEWS.find((view) => view === name) ?? "summary";
    const number = (key: string, most: number) => {
      const value = Number(parts.get(key)) - 1;
      return Number.isInteger(value) && value >= 0 && value < most ? value : -1;
    };
    this.event = number("event", this.store.length);
    this.process = number("process", this.app.processes.list.length);
    this.input.value = parts.get("q") ?? "";
    this.filter(this.input.value);
    this.show();
    this.detail();
    if (isFirst) this.keep(false);
  }

  /** Shows another view, with another filter if there is one. */
  private go(view: View, query?: string): void {
    this.view = view;
    if (query !== undefined && query !== this.query) {
      this.input.value = query;
      this.filter(query);
    }
    if (matchMedia("(max-width: 899px)").matches) [this.event, this.process] = [-1, -1];
    this.keep(true);
    this.show();
    this.detail();
  }

  private typed(): void {
    if (!this.filter(this.input.value)) return;
    this.keep(false);
    this.show();
  }

  /** Applies a filter; false where it cannot be read. */
  private filter(text: string): boolean {
    const begun = performance.now();
    let query: Query;
    let rows: Uint32Array;
    try {
      query = parse(text);
      rows = this.search.rows(query);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      this.problem.textContent = error.message;
      this.input.setAttribute("aria-invalid", "true");
      // A filter that is not finished leaves what was shown.
      return false;
    }
    this.problem.textContent = "";
    this.input.removeAttribute("aria-invalid");
    this.query = text.trim();
    this.app.rows = rows;
    this.matched.textContent =
      query.is === "all" ? plural(rows.length, "event") : `${count(rows.length)} of ${count(this.store.length)}`;
    window.glassbox.times.filtered = performance.now() - begun;
    return true;
  }

  private show(): void {
    const begun = performance.now();
    this.screen?.dispose?.();
    this.screen = MAKE[this.view](this.app);
    fill(this.main, this.screen.element);
    fill(
      this.nav,
      VIEWS.map((view) =>
        h(
          "a",
          {
            href: `#${view}`, "aria-current": view === this.view ? "page" : undefined,
            onclick: (event: MouseEvent) => {
              if (event.ctrlKey || event.metaKey || event.shiftKey) return;
              event.preventDefault();
              this.go(view);
            },
          },
          view,
        ),
      ),
    );
    this.nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (this.view === "events" && this.event >= 0) this.reveal(this.event);
    window.glassbox.times.drawn = performance.now() - begun;
  }

  /** Makes the row of an event the current one. */
  private reveal(event: number): void {
    const place = this.app.rows.indexOf(event);
    if (place >= 0) this.screen?.list?.go(place);
  }

  private open(event: number, process: number): void {
    if (this.drawer.hidden) this.before = document.activeElement as HTMLElement | null;
    [this.event, this.process] = [event, process];
    this.keep(true);
    this.detail();
    this.drawer.focus({ preventScroll: true });
  }

  private close(): void {
    [this.event, this.process] = [-1, -1];
    this.keep(true);
    this.detail();
    if (this.before?.isConnected) this.before.focus();
    else this.focusScreen();
  }

  private detail(): void {
    const isOpen = this.event >= 0 || this.process >= 0;
    this.drawer.hidden = !isOpen;
    this.root.classList.toggle("has-drawer", isOpen);
    if (!isOpen) return fill(this.drawer);
    const content =
      this.event >= 0
        ? eventDetail(this.app, this.event)
        : processDetail(this.app, this.app.processes.at(this.process));
    fill(
      this.drawer,
      button("×", () => this.close(), { class: "icon close", "aria-label": "close", title: "close (Esc)" }),
      content,
    );
    this.drawer.scrollTop = 0;
  }

  private focusScreen(): void {
    const target = this.screen?.list?.element ?? (this.screen?.element as HTMLElement | undefined);
    target?.focus({ preventScroll: true });
  }

  /** The event after the open one, or before it, among those that meet the filter. */
  private turn(by: number): void {
    const { rows } = this.app;
    let place = rows.indexOf(this.event);
    if (place < 0) place = rows.findIndex((event) => event > this.event) - (by > 0 ? 1 : 0);
    const event = rows[place + by];
    if (event === undefined) return;
    this.event = event;
    this.keep(false);
    this.detail();
    if (this.view === "events") this.reveal(event);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.help.open) return;
    if (event.key === "Escape") {
      if (document.activeElement === this.input && this.input.value !== "") return this.go(this.view, "");
      if (!this.drawer.hidden) this.close();
      return;
    }
    if ((event.target as Element).closest("input, textarea, select")) return;
    const isButton = (event.target as Element).closest("button, a") !== null;
    const list = this.screen?.list;
    const step = (by: number) => {
      list?.element.focus({ preventScroll: true });
      if (list) list.step(by);
      else this.screen?.element.scrollBy({ top: by * 60 });
    };
    const keys: Record<string, () => void> = {
      "/": () => {
        this.input.focus();
        this.input.select();
      },
      "?": () => this.showHelp(),
      j: () => step(1),
      k: () => step(-1),
      t: () => this.theme(),
      c: () => {
        if (this.event >= 0) void copy(this.app, this.store.line(this.event), "event");
      },
      n: () => this.event >= 0 && this.turn(1),
      p: () => this.event >= 0 && this.turn(-1),
    };
    if (!isButton) keys.Enter = () => list?.openCurrent();
    VIEWS.forEach((view, place) => (keys[String(place + 1)] = () => (this.go(view), this.focusScreen())));
    const action = keys[event.key];
    if (action) {
      event.preventDefault();
      action();
    } else if (!isButton && this.screen?.key?.(event)) event.preventDefault();
  }

  private forPaper(): void {
    fill(this.print, paper(this.app, `glassbox: ${cut(this.title, 300)}`));
  }
}

