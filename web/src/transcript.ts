// The download menu of the transcript.

import { byId } from "./dom";
import { save } from "./save";
import { toast } from "./toast";

export class TranscriptMenu {
  readonly #menu = byId<HTMLDetailsElement>("transcript");
  readonly #links = this.#menu.querySelectorAll<HTMLAnchorElement>("a[data-format]");
  readonly #token: string | null;
  #call = "";

  constructor(token: string | null) {
    this.#token = token;
    for (const link of this.#links) {
      link.addEventListener("click", (event) => {
        this.#menu.open = false;
        if (!this.#token) return;
        event.preventDefault();
        this.#fetch(link).catch(() => toast("The transcript could not be downloaded."));
      });
    }
    this.#menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#menu.open) return;
      this.#menu.open = false;
      this.#menu.querySelector("summary")?.focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!this.#menu.contains(event.target as Node)) this.#menu.open = false;
    });
  }

  setCall(call: string, feed: string): void {
    this.#call = call;
    const language = feed === "spoken" ? "" : `&language=${encodeURIComponent(feed)}`;
    for (const link of this.#links) {
      const format = link.dataset["format"] ?? "txt";
      link.href = `/api/calls/${encodeURIComponent(call)}/transcript?format=${format}${language}`;
      link.download = `${call}.${format}`;
    }
  }

  /** A link cannot carry a token, so the page fetches and hands over the file. */
  async #fetch(link: HTMLAnchorElement): Promise<void> {
    const response = await fetch(link.href, { headers: { Authorization: `Bearer ${this.#token}` } });
    if (response.status === 401 || response.status === 403) {
      toast("Your invitation does not allow reading the transcript.");
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    save(await response.blob(), `${this.#call}.${link.dataset["format"] ?? "txt"}`);
  }
}
