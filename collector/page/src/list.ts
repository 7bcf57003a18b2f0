// A table that has only the rows that can be seen as elements: a hundred thousand rows scroll like ten.

import { type Child, append, fill, h } from "./dom.ts";

export interface Field<R> {
  key: string;
  title: string;
  /** A class of the cell: its width and alignment are the style's. */
  class?: string;
  cell: (row: R, index: number) => Child;
  /** By what it can be sorted; larger first for numbers. */
  sort?: (row: R) => number | string;
}

export interface ListOptions<R> {
  name: string;
  fields: readonly Field<R>[];
  /** What Enter and a click do. */
  open?: (row: R, index: number) => void;
  /** When another row becomes the current one. */
  move?: (row: R, index: number) => void;
  class?: string;
  rowClass?: (row: R) => string;
  empty?: string;
  /** The order at first. */
  sorted?: { key: string; isUp: boolean };
}

/** The tallest element that every browser can scroll, pixels. */
export const TALLEST = 15_000_000;

/**
 * Pixels of the rows for each pixel of the scrolled element, which is no taller than `TALLEST`: 1 but for very many
 * rows.
 */
export function stretch(full: number, room: number): number {
  return full <= TALLEST ? 1 : (full - room) / (TALLEST - room);
}

/** Rows beyond both edges that are there, too. */
const SPARE = 8;
let lists = 0;

export class List<R> {
  readonly element: HTMLDivElement;
  private readonly head: HTMLDivElement;
  private readonly body: HTMLDivElement;
  private readonly id = `list${(lists += 1)}`;
  private rows: ArrayLike<R> = [];
  private shown = new Map<number, HTMLDivElement>();
  private height = 28;
  /** The current row; -1 for none. */
  current = -1;
  private order: { key: string; isUp: boolean } | undefined;
  private readonly watch: ResizeObserver;

  constructor(private readonly options: ListOptions<R>) {
    this.order = options.sorted;
    this.head = h("div", { class: "row head", role: "row" });
    this.body = h("div", { class: "rows", role: "rowgroup" });
    const headGroup = h("div", { role: "rowgroup", class: "headgroup" }, this.head);
    this.element = h(
      "div",
      {
        class: `list ${options.class ?? ""}`, role: "grid", tabindex: 0, "aria-label": options.name,
        onscroll: () => this.draw(),
        onkeydown: (event: KeyboardEvent) => this.key(event),
        onclick: (event: MouseEvent) => this.click(event),
      },
      headGroup,
      this.body,
    );
    this.watch = new ResizeObserver(() => this.redraw());
    this.watch.observe(this.element);
    this.heads();
  }

  private heads(): void {
    fill(
      this.head,
      this.options.fields.map((field) => {
        const isSorted = this.order?.key === field.key;
        const direction = isSorted ? (this.order?.isUp ? "ascending" : "descending") : field.sort ? "none" : undefined;
        const mark = isSorted ? (this.order?.isUp ? " ↑" : " ↓") : "";
        const label = field.sort
          ? h("button", { type: "button", onclick: () => this.sortBy(field.key) }, `${field.title}${mark}`)
          : field.title;
        return h("div", { class: `cell ${field.class ?? ""}`, role: "columnheader", "aria-sort": direction }, label);
      }),
    );
  }

  private sortBy(key: string): void {
    const isSame = this.order?.key === key;
    const sample = this.rows.length > 0 ? this.field(key)?.sort?.(this.rows[0] as R) : 0;
    const isUp = isSame ? !this.order?.isUp : typeof sample === "string";
    this.order = { key, isUp };
    this.heads();
    this.set(this.rows);
  }

  private field(key: string): Field<R> | undefined {
    return this.options.fields.find((field) => field.key === key);
  }

  get length(): number {
    return this.rows.length;
  }

  /** Shows other rows. */
  set(rows: ArrayLike<R>): void {
    const by = this.order && this.field(this.order.key)?.sort;
    if (by) {
      const sign = this.order?.isUp ? 1 : -1;
      const keyed = Array.from(rows, (row) => ({ row, key: by(row) }));
      keyed.sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0));
      rows = keyed.map(({ row }) => row);
    }
    this.rows = rows;
    if (this.current >= rows.length) this.current = rows.length - 1;
    this.element.setAttribute("aria-rowcount", String(rows.length + 1));
    this.redraw();
  }

  row(index: number): R | undefined {
    return this.rows[index];
  }

  /** Draws everything anew. */
  redraw(): void {
    this.shown.clear();
    this.body.replaceChildren();
    // The style says how high a row is; it may differ with the width.
    const height = Number.parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    if (height > 0) this.height = height;
    this.body.style.height = `${Math.min(TALLEST, Math.max(1, this.rows.length) * this.height)}px`;
    if (this.rows.length === 0) {
      const cell = h("div", { class: "cell", role: "gridcell" }, this.options.empty ?? "nothing");
      append(this.body, [h("div", { class: "row empty", role: "row" }, cell)]);
      return;
    }
    this.draw();
  }

  private get ratio(): number {
    return stretch(this.rows.length * this.height, this.element.clientHeight - this.head.offsetHeight);
  }

  private draw(): void {
    if (this.rows.length === 0) return;
    const scrolled = Math.max(0, this.element.scrollTop);
    const ratio = this.ratio;
    // The first pixel of the rows that is seen.
    const top = scrolled * ratio;
    const from = Math.max(0, Math.floor(top / this.height) - SPARE);
    const to = Math.min(this.rows.length, Math.ceil((top + this.element.clientHeight) / this.height) + SPARE);
    for (const [index, element] of this.shown) {
      if (index < from || index >= to) {
        element.remove();
        this.shown.delete(index);
      }
    }
    for (let index = from; index < to; index += 1) {
      const known = this.shown.get(index);
      if (known) {
        if (ratio !== 1) known.style.transform = `translateY(${index * this.height - top + scrolled}px)`;
        continue;
      }
      const row = this.rows[index] as R;
      const element = h(
        "div",
        {
          class: `row ${this.options.rowClass?.(row) ?? ""}`, role: "row", id: `${this.id}-${index}`,
          "aria-rowindex": index + 2, "aria-selected": index === this.current ? "true" : "false",
        },
        this.options.fields.map((field) =>
          h("div", { class: `cell ${field.class ?? ""}`, role: "gridcell" }, field.cell(row, index)),
        ),
      );
      element.style.transform = `translateY(${index * this.height - top + scrolled}px)`;
      element.dataset.index = String(index);
      this.shown.set(index, element);
      this.body.appendChild(element);
    }
    this.mark();
  }

  private mark(): void {
    for (const [index, element] of this.shown) {
      element.setAttribute("aria-selected", index === this.current ? "true" : "false");
    }
    if (this.shown.has(this.current)) {
      this.element.setAttribute("aria-activedescendant", `${this.id}-${this.current}`);
    } else this.element.removeAttribute("aria-activedescendant");
  }

  /** Makes a row the current one, and shows it. */
  go(index: number): void {
    if (this.rows.length === 0) return;
    this.current = Math.max(0, Math.min(index, this.rows.length - 1));
    const head = this.head.offsetHeight;
    const row = this.current * this.height;
    const room = this.element.clientHeight - head;
    const ratio = this.ratio;
    const top = this.element.scrollTop * ratio;
    if (row < top) this.element.scrollTop = row / ratio;
    else if (row + this.height > top + room) this.element.scrollTop = Math.ceil((row + this.height - room) / ratio);
    this.draw();
    this.mark();
    this.options.move?.(this.rows[this.current] as R, this.current);
  }

  /** The next row, or the one before. */
  step(by: number): void {
    this.go(this.current < 0 ? (by > 0 ? 0 : this.rows.length - 1) : this.current + by);
  }

  openCurrent(): void {
    const row = this.rows[this.current];
    if (row !== undefined) this.options.open?.(row, this.current);
  }

  private page(): number {
    return Math.max(1, Math.floor(this.element.clientHeight / this.height) - 2);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target !== this.element) return;
    const moves: Record<string, () => void> = {
      ArrowDown: () => this.step(1),
      ArrowUp: () => this.step(-1),
      PageDown: () => this.step(this.page()),
      PageUp: () => this.step(-this.page()),
      Home: () => this.go(0),
      End: () => this.go(this.rows.length - 1),
      Enter: () => this.openCurrent(),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }

  private click(event: MouseEvent): void {
    const target = event.target as Element;
    if (target.closest("button, a")) return;
    const row = target.closest<HTMLElement>(".row[data-index]");
    if (!row || String(getSelection()) !== "") return;
    this.go(Number(row.dataset.index));
    this.openCurrent();
  }

  dispose(): void {
    this.watch.disconnect();
  }
}
