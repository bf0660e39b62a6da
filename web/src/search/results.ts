// What was found, call by call.

import type { Caption } from "@surtitle/client";
import { create } from "@surtitle/client/dom";
import { clock } from "../clock";
import { marked } from "./marked";
import type { PastCall } from "./api";

export class Results {
  readonly #list: HTMLOListElement;
  readonly #open: (call: string, utterance: string) => void;
  #calls = new Map<string, PastCall>();

  constructor(list: HTMLOListElement, open: (call: string, utterance: string) => void) {
    this.#list = list;
    this.#open = open;
  }

  setCalls(calls: readonly PastCall[]): void {
    this.#calls = new Map(calls.map((one) => [one.call, one]));
  }

  clear(): void {
    this.#list.replaceChildren();
  }

  add(captions: readonly Caption[], query: string): void {
    for (const caption of captions) this.#list.append(this.#draw(caption, query));
  }

  #draw(caption: Caption, query: string): HTMLElement {
    const parts = marked(caption.text, query).map(({ text, hit }) => (hit ? create("mark", {}, text) : text));
    const text = create("span", { class: "text", dir: "auto", lang: caption.language }, ...parts);
    const speaker = create("span", { class: "speaker" }, caption.speaker);
    const where = create("span", { class: "where" }, this.#where(caption));
    const button = create("button", { type: "button", class: "result" }, speaker, where, text);
    button.addEventListener("click", () => this.#open(caption.call, caption.utterance));
    return create("li", { "data-testid": "result" }, button);
  }

  #where({ call, start_ms }: Caption): string {
    const started = this.#calls.get(call)?.started_at;
    const day = started ? `${new Date(Date.parse(started) + start_ms).toLocaleDateString()}, ` : "";
    return `${call}, ${day}${clock(start_ms)}`;
  }
}
