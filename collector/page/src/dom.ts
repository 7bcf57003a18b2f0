// Elements. Text of programs reaches the document here alone, as text nodes.

import { pieces, visible } from "./text.ts";

export type Child = Node | string | number | null | undefined | false | readonly Child[];
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** Appends children. A string becomes text in which every character shows. */
export function append(parent: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(parent, child);
    else if (child instanceof Node) parent.appendChild(child);
    else {
      pieces(String(child)).forEach((piece, place) => {
        if (piece === "") return;
        if (place % 2 === 0) parent.appendChild(document.createTextNode(piece));
        else {
        const isSpace = /^(\\[ntr])+$/.test(piece);
        const title = isSpace ? null : "a character that does not show";
        parent.appendChild(h("span", { class: isSpace ? "escape is-space" : "escape", title }, piece));
      }
      });
    }
  }
}

/** An element: `h("a", { class: "x", onclick: … }, "text")`. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else element.setAttribute(name, value === true ? "" : visible(String(value)));
  }
  append(element, children);
  return element;
}

/** Replaces everything in an element. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

/** A button that is a word. */
export function button(label: Child, action: () => void, attributes: Attributes = {}): HTMLButtonElement {
  return h("button", { type: "button", onclick: action, ...attributes }, label);
}
