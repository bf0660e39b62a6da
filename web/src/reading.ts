// The captions of a call on the screen: all that there is for who reads along, and for who is in
// the call what `Room` adds people and audio to.

import type { Call, Caption, Captions, Update } from "@surtitle/client";
import { announce } from "./announcer";
import type { Screen } from "./screen";

export interface ReadingEvents {
  joined(): void;
  waiting(message: string): void;
  /** The server said no, before or after joining. */
  refused(error: Error): void;
}

export class Reading {
  readonly #screen: Screen;
  readonly #call: Call;

  constructor(call: Call, screen: Screen, events: ReadingEvents) {
    this.#screen = screen;
    this.#call = call;
    let entered = false;
    call.on("connected", () => {
      if (!entered) events.joined();
      entered = true;
    });
    call.on("captions", (captions, live) => this.#captions(captions, live));
    call.on("state", (state) => screen.status.setState(state));
    call.on("disconnected", () => screen.status.setDisconnected());
    call.on("waiting", (message) => events.waiting(message));
    call.on("closed", (error) => error && events.refused(error));
  }

  get call(): string {
    return this.#call.id;
  }

  /** True where the server accepted it. */
  async update(change: Update): Promise<boolean> {
    try {
      await this.#call.update(change);
      if (change.captions_language) {
        this.#screen.overlay.clear();
        this.#screen.transcript.setCall(this.call, change.captions_language);
      }
      return true;
    } catch (error) {
      this.#screen.toast(error instanceof Error ? error.message : "That did not work.");
      return false;
    }
  }

  async leave(): Promise<void> {
    await this.#call.leave();
  }

  #captions(captions: Captions, live: Caption | null): void {
    this.#screen.panel.show(captions.finals, live !== null);
    if (!live) return this.#screen.overlay.reconcile(captions);
    this.#screen.overlay.show(live);
    if (live.final && this.#screen.settings.preferences.announce) announce(live);
  }
}
