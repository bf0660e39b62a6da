// One call's transcript with times, its downloads, and its end.

import type { Caption } from "@surtitle/client";
import { create } from "@surtitle/client/dom";
import { byId } from "../dom";
import { save } from "../save";
import { clock } from "../clock";
import type { Api, PastCall } from "./api";

export interface TranscriptEvents {
  back(): void;
  erased(call: string): void;
  problem(error: unknown): void;
}

export class TranscriptView {
  readonly #article = byId("transcript");
  readonly #title = byId("transcript-title");
  readonly #when = byId("transcript-when");
  readonly #list = byId<HTMLOListElement>("finals");
  readonly #dialog = byId<HTMLDialogElement>("erase-dialog");
  readonly #api: Api;
  readonly #events: TranscriptEvents;
  #call = "";

  constructor(api: Api, events: TranscriptEvents) {
    this.#api = api;
    this.#events = events;
    byId("back").addEventListener("click", () => events.back());
    for (const button of this.#article.querySelectorAll<HTMLButtonElement>("[data-format]")) {
      button.addEventListener("click", () => void this.#download(button.dataset["format"] ?? "txt"));
    }
    byId("erase").addEventListener("click", () => this.#dialog.showModal());
    this.#dialog.addEventListener("close", () => {
      if (this.#dialog.returnValue === "erase") void this.#erase();
      this.#dialog.returnValue = "";
    });
  }

  set hidden(hidden: boolean) {
    this.#article.hidden = hidden;
  }

  /** Shows it from the utterance on, if one is named. */
  show(call: string, record: PastCall | undefined, captions: readonly Caption[], utterance: string): void {
    this.#call = call;
    this.#title.textContent = byId("erase-call").textContent = call;
    this.#when.textContent = record ? period(record) : "";
    this.#list.replaceChildren(...captions.map((caption, index) => draw(caption, captions[index - 1])));
    this.hidden = false;
    const wanted = this.#list.querySelector(`[data-utterance="${CSS.escape(utterance)}"]`);
    wanted?.classList.add("wanted");
    if (wanted) wanted.scrollIntoView({ block: "center" });
    else window.scrollTo({ top: 0 });
    this.#title.focus({ preventScroll: true });
  }

  async #download(format: string): Promise<void> {
    try {
      save(await this.#api.file(this.#call, format), `${this.#call}.${format}`);
    } catch (error) {
      this.#events.problem(error);
    }
  }

  async #erase(): Promise<void> {
    try {
      await this.#api.erase(this.#call);
      this.#events.erased(this.#call);
    } catch (error) {
      this.#events.problem(error);
    }
  }
}

function draw(caption: Caption, before: Caption | undefined): HTMLElement {
  const time = create("time", { class: "time" }, clock(caption.start_ms));
  const speaker = create("span", { class: "speaker" }, caption.speaker);
  const text = create("p", { class: "text", dir: "auto", lang: caption.language }, caption.text);
  const entry = create("li", { class: "final", "data-utterance": caption.utterance }, time, speaker, text);
  if (before?.speaker === caption.speaker) speaker.classList.add("visually-hidden");
  return entry;
}

function period({ started_at, ended_at }: PastCall): string {
  const started = new Date(started_at);
  if (!ended_at) return `${started.toLocaleString()}, still going on`;
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });
  return format.formatRange(started, new Date(ended_at));
}
