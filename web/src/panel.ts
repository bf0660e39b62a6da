// The finals of the call beside the picture. Who reads at the end stays at the
// end; who has scrolled up, or searches, is left there and told how much is new.

import { captionKey, type Caption } from "@surtitle/client";
import { create } from "@surtitle/client/dom";
import { tint } from "@surtitle/client/tint";
import { clock } from "./clock";
import { byId } from "./dom";
import { folded } from "./folded";

const AT_END_PX = 48;

export class Panel {
  readonly #scroller = byId("panel-scroll");
  readonly #list = byId<HTMLOListElement>("finals");
  readonly #empty = byId("panel-empty");
  readonly #button = byId<HTMLButtonElement>("new-finals");
  readonly #query = byId<HTMLInputElement>("finals-query");
  readonly #found = byId("finals-found");
  readonly #mark = create("li", { class: "new-mark", "aria-hidden": "true" }, "New");
  #entries = new Map<string, HTMLElement>();
  #unread = 0;
  #atEnd = true;

  constructor() {
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#button.addEventListener("click", () => {
      this.#query.value = "";
      this.#filter();
      this.#toEnd("smooth");
    });
    this.#query.addEventListener("input", () => this.#filter());
    // The panel grows and shrinks with the window: the end stays the end.
    new ResizeObserver(() => this.#atEnd && this.#toEnd()).observe(this.#scroller);
  }

  clear(): void {
    this.#entries.clear();
    this.#list.replaceChildren();
    this.#unread = 0;
    this.#atEnd = true;
    this.#query.value = "";
    this.#found.textContent = "";
    this.#empty.hidden = false;
    this.#button.hidden = true;
  }

  /** Draws the finals that are not there yet; `live` ones count as new. */
  show(finals: readonly Caption[], live: boolean): void {
    if (finals.length === 0 && this.#entries.size > 0) this.clear();
    let following: HTMLElement | null = null;
    let first: HTMLElement | null = null;
    let added = 0;
    for (let index = finals.length - 1; index >= 0; index -= 1) {
      const caption = finals[index]!;
      const key = captionKey(caption);
      let entry = this.#entries.get(key);
      if (!entry) {
        entry = drawEntry(caption);
        this.#entries.set(key, entry);
        this.#list.insertBefore(entry, following);
        following?.classList.toggle("continues", continues(caption, finals[index + 1]!));
        entry.classList.toggle("continues", index > 0 && continues(finals[index - 1]!, caption));
        first = entry;
        added += 1;
      }
      following = entry;
    }
    if (added === 0) return;
    this.#empty.hidden = true;
    const searching = this.#query.value.trim() !== "";
    if (searching) this.#filter();
    if (this.#atEnd && !searching) {
      this.#mark.remove();
      this.#toEnd();
    } else if (live) {
      if (this.#unread === 0) this.#list.insertBefore(this.#mark, first);
      this.#unread += added;
      this.#button.querySelector("span")!.textContent = `${this.#unread} new`;
      this.#button.hidden = false;
    }
  }

  /** Shows what has every word of the query, in the text or as the speaker. */
  #filter(): void {
    const words = folded(this.#query.value).split(/\s+/u).filter(Boolean);
    let found = 0;
    for (const entry of this.#entries.values()) {
      const text = folded(entry.textContent ?? "");
      entry.hidden = !words.every((word) => text.includes(word));
      if (!entry.hidden) found += 1;
    }
    this.#list.dataset["filtered"] = String(words.length > 0);
    this.#found.textContent = words.length === 0 ? "" : found === 1 ? "1 found" : `${found} found`;
    if (words.length === 0 && this.#atEnd) this.#toEnd();
  }

  #scrolled(): void {
    if (this.#query.value.trim() !== "") return;
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    if (!this.#atEnd) return;
    this.#unread = 0;
    this.#button.hidden = true;
  }

  #toEnd(behavior: ScrollBehavior = "instant"): void {
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior });
  }
}

function drawEntry(caption: Caption): HTMLElement {
  const speaker = create("span", { class: "speaker" }, caption.speaker);
  const time = create("time", { class: "time" }, clock(caption.start_ms));
  const text = create("p", { class: "text", dir: "auto", lang: caption.language }, caption.text);
  const heading = create("p", { class: "heading" }, speaker, " ", time);
  const entry = create("li", { class: "final", "data-testid": "final" }, heading, text);
  if (caption.source_text) {
    const original = { class: "original", dir: "auto", lang: caption.source_language };
    entry.append(create("p", original, caption.source_text));
  }
  entry.dataset["seq"] = String(caption.seq);
  entry.dataset["participant"] = caption.participant;
  entry.dataset["tint"] = tint(caption.participant);
  return entry;
}

/** The same person goes on speaking: the name need not be read again. */
function continues(before: Caption, caption: Caption): boolean {
  const same = before.participant === caption.participant && before.speaker === caption.speaker;
  return same && caption.start_ms - before.end_ms < 30_000;
}
