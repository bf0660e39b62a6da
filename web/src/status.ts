// How the call is doing, said honestly: the state in the bar, and a banner in
// plain words where something is not as it should be.

import type { CallState } from "@surtitle/client";
import { byId } from "./dom";

const NAMES = {
  connecting: "Connecting",
  live: "Live",
  degraded: "Degraded",
  recovering: "Recovering",
  ended: "Ended",
};

const EXPLANATIONS = {
  degraded: "The server is under load: captions come later than usual.",
  recovering: "Captioning was interrupted and is being restored. What was captioned so far is kept.",
  ended: "Captioning of this call has ended. The transcript can still be downloaded.",
};

export class Status {
  readonly #chip = byId("state");
  readonly #name = byId("state-name");
  readonly #banner = byId("banner");
  readonly #captioning = byId("captioning");
  readonly #captioningText = byId("captioning-text");
  #state: CallState | null = null;
  #connected = true;

  get ended(): boolean {
    return this.#state?.state === "ended";
  }

  setState(state: CallState): void {
    this.#state = state;
    this.#connected = true;
    this.#draw();
  }

  setDisconnected(): void {
    this.#connected = false;
    this.#draw();
  }

  clear(): void {
    this.#state = null;
    this.#connected = true;
    this.#draw();
  }

  #draw(): void {
    const name = this.#connected ? (this.#state?.state ?? "connecting") : "connecting";
    this.#chip.dataset["state"] = name;
    this.#name.textContent = NAMES[name] ?? name;
    const banner = this.#connected ? this.#explanation() : "Connection lost. Reconnecting…";
    if (this.#banner.textContent !== banner) this.#banner.textContent = banner;
    this.#banner.hidden = banner === "";
    this.#banner.dataset["state"] = this.#connected ? name : "disconnected";

    const captioning = this.#state?.captioning;
    this.#captioning.hidden = captioning === undefined || name === "ended" || !this.#connected;
    this.#captioning.dataset["on"] = String(captioning === true);
    this.#captioningText.textContent = captioning ? "Speech is captioned" : "Not captioned now";
  }

  #explanation(): string {
    const state = this.#state;
    if (!state || state.state === "live") return "";
    const reason = state.reason ? ` (${state.reason})` : "";
    return (EXPLANATIONS[state.state] ?? "") + reason;
  }
}
