// What the views may ask of the page.

import type { Chosen } from "./tables.ts";
import { quoted } from "./filter.ts";

export const VIEWS = ["summary", "processes", "events", "files", "network", "failures", "sensor"] as const;
export type View = (typeof VIEWS)[number];

export interface App extends Chosen {
  /** The filter as it stands. */
  query: string;
  /** Whether the document is whole, and else why not. */
  cut: string;
  go(view: View, query?: string): void;
  openEvent(event: number): void;
  openProcess(index: number): void;
  say(text: string): void;
}

/** A part of the page, made for one filter. */
export interface Screen {
  element: HTMLElement;
  /** The list that j, k and Enter are for. */
  list?: { step(by: number): void; openCurrent(): void; element: HTMLElement; go(index: number): void };
  /** Keys of its own; says whether it took one. */
  key?(event: KeyboardEvent): boolean;
  dispose?(): void;
}

/** `field="value"`, which may stand behind another filter. */
export function term(field: string, value: string, op = "="): string {
  return `${field}${op}${quoted(value)}`;
}

/** Both filters. */
export function both(one: string, other: string): string {
  if (one.trim() === "") return other;
  return / or /i.test(one) ? `(${one}) ${other}` : `${one.trim()} ${other}`;
}
