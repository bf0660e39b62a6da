// Captions over the picture: a block for each speaker, the name at the change of
// speaker, the last lines of what is being said. Blocks roll up and then vanish.

import { captionKey, type Captions } from "./captions";
import type { Caption } from "./contract";
import { create } from "./dom";
import { breakLines } from "./lines";
import { tint } from "./tint";

const MOST_BLOCKS = 3;
/** Narrower than this, two blocks are all that leaves the picture to be seen. */
const NARROW_PX = 420;
/** A partial that nothing follows has lost its speaker or its server. */
const PARTIAL_STAYS_MS = 12_000;

interface Shown {
  key: string;
  caption: Caption;
  lines: string[];
  element: HTMLElement;
  speaker: HTMLElement;
  text: HTMLElement;
  expiry: number;
}

interface Block {
  element: HTMLElement;
  shown: Shown[];
  touched: number;
}

export class Overlay {
  readonly #root: HTMLElement;
  readonly #canvas = document.createElement("canvas").getContext("2d");
  readonly #blocks = new Map<string, Block>();
  readonly #resize = new ResizeObserver(() => this.relayout());
  #lines = 2;
  #partials = true;
  #touches = 0;
  #width = 0;

  constructor(root: HTMLElement) {
    this.#root = root;
    this.#resize.observe(root);
  }

  setPreferences(preferences: { lines: number; partials: boolean }): void {
    this.#lines = preferences.lines;
    this.#partials = preferences.partials;
    this.relayout();
  }

  show(caption: Caption): void {
    if (!caption.final && !this.#partials) return;
    const block = this.#blocks.get(caption.participant) ?? this.#addBlock(caption.participant);
    const key = captionKey(caption);
    let shown = block.shown.find((one) => one.key === key);
    if (caption.text.trim() === "") {
      if (shown) this.#remove(block, shown);
      this.#dropEmpty();
      return;
    }
    if (!shown) {
      shown = this.#add(block, key, caption);
      block.touched = this.#touches += 1;
    }
    shown.caption = caption;
    clearTimeout(shown.expiry);
    shown.expiry = window.setTimeout(
      () => this.#expire(caption.participant, key),
      caption.final ? readingTime(caption.text) : PARTIAL_STAYS_MS,
    );
    this.#layout(block);
    this.#limitBlocks();
  }

  /** Finals that came another way, after a lost connection say, end their partials. */
  reconcile(captions: Captions): void {
    for (const block of [...this.#blocks.values()]) {
      for (const { key, caption } of [...block.shown]) {
        if (caption.final || !captions.finalKeys.has(key)) continue;
        const final = captions.finals.findLast((one) => captionKey(one) === key);
        if (final) this.show(final);
      }
    }
  }

  /** Breaks all lines anew: the width or the letters have changed. */
  relayout(): void {
    this.#width = 0;
    for (const block of this.#blocks.values()) {
      for (const shown of block.shown) shown.lines = [];
      this.#layout(block);
    }
  }

  clear(): void {
    for (const block of this.#blocks.values()) {
      for (const { expiry } of block.shown) clearTimeout(expiry);
    }
    this.#blocks.clear();
    this.#root.replaceChildren();
  }

  #addBlock(participant: string): Block {
    const element = create("div", { class: "caption-block", "data-tint": tint(participant) });
    this.#root.append(element);
    const block: Block = { element, shown: [], touched: 0 };
    this.#blocks.set(participant, block);
    return block;
  }

  #add(block: Block, key: string, caption: Caption): Shown {
    const speaker = create("span", { class: "speaker" });
    const text = create("span", { class: "text", dir: "auto" });
    const element = create(
      "div",
      { class: "caption", "data-testid": "caption", "data-participant": caption.participant },
      speaker,
      text,
    );
    block.element.append(element);
    const shown: Shown = { key, caption, lines: [], element, speaker, text, expiry: 0 };
    block.shown.push(shown);
    return shown;
  }

  /** The newest utterance takes the lines it needs, older ones what is left. */
  #layout(block: Block): void {
    let left = this.#lines;
    for (const shown of [...block.shown].reverse()) {
      if (left === 0) {
        this.#remove(block, shown);
        continue;
      }
      this.#draw(shown);
      const visible = Math.min(shown.lines.length, left);
      shown.text.style.setProperty("--lines", String(visible));
      left -= visible;
    }
  }

  #draw(shown: Shown): void {
    const { caption, element, speaker, text } = shown;
    element.dataset["final"] = String(caption.final);
    if (speaker.textContent !== caption.speaker) speaker.textContent = caption.speaker;
    text.lang = caption.language;
    shown.lines = breakLines(caption.text.trim(), shown.lines, this.#measure(text), this.#lineWidth(element));

    let stable = caption.final ? Infinity : sliceByCharacters(caption.text, caption.stable);
    shown.lines.forEach((line, index) => {
      drawLine(text, index, line, Math.max(0, Math.min(stable, line.length)));
      stable -= line.length;
    });
    while (text.childElementCount > shown.lines.length) text.lastElementChild!.remove();
  }

  #measure(text: HTMLElement): (words: string) => number {
    const canvas = this.#canvas;
    if (!canvas) return (words) => words.length * 10;
    canvas.font = getComputedStyle(text).font;
    return (words) => canvas.measureText(words).width;
  }

  #lineWidth(element: HTMLElement): number {
    if (this.#width === 0) {
      const style = getComputedStyle(element);
      const padding = parseFloat(style.paddingInlineStart) + parseFloat(style.paddingInlineEnd);
      this.#width = Math.max(80, this.#root.clientWidth - padding - 4);
    }
    return this.#width;
  }

  #expire(participant: string, key: string): void {
    const block = this.#blocks.get(participant);
    const shown = block?.shown.find((one) => one.key === key);
    if (!block || !shown) return;
    this.#remove(block, shown);
    this.#dropEmpty();
  }

  #remove(block: Block, shown: Shown): void {
    clearTimeout(shown.expiry);
    shown.element.remove();
    block.shown.splice(block.shown.indexOf(shown), 1);
  }

  #dropEmpty(): void {
    for (const [participant, block] of this.#blocks) {
      if (block.shown.length > 0) continue;
      block.element.remove();
      this.#blocks.delete(participant);
    }
  }

  /** With more speakers than room, who began to speak longest ago goes. */
  #limitBlocks(): void {
    const most = this.#root.clientWidth < NARROW_PX ? MOST_BLOCKS - 1 : MOST_BLOCKS;
    while (this.#blocks.size > most) {
      const [oldest] = [...this.#blocks.values()].sort((a, b) => a.touched - b.touched);
      for (const shown of [...oldest!.shown]) this.#remove(oldest!, shown);
      this.#dropEmpty();
    }
  }
}

/** Touches the document only where the line changed, so that nothing flickers. */
function drawLine(text: HTMLElement, index: number, line: string, stable: number): void {
  let element = text.children[index] as HTMLElement | undefined;
  if (!element) {
    element = create("span", { class: "line" });
    text.append(element);
  }
  if (element.textContent === line && element.dataset["stable"] === String(stable)) return;
  element.dataset["stable"] = String(stable);
  const parts: (Node | string)[] = [line.slice(0, stable)];
  if (stable < line.length) parts.push(create("span", { class: "tentative" }, line.slice(stable)));
  element.replaceChildren(...parts);
}

/** `stable` counts characters as the server does, code points; strings count otherwise. */
function sliceByCharacters(text: string, characters: number): number {
  return [...text].slice(0, characters).join("").length;
}

function readingTime(text: string): number {
  return Math.min(8_000, Math.max(4_000, 2_000 + 65 * text.length));
}
