// Reading along: the captions of a call without being in it.

import { Call, type Caption, type Captions, type Update } from "@surtitle/client";
import { announce } from "./announcer";
import type { RoomEvents } from "./room";
import type { Screen } from "./screen";

export class Watching {
  readonly #screen: Screen;
  readonly #call: Call;

  constructor(id: string, token: string | null, screen: Screen, events: RoomEvents) {
    this.#screen = screen;
    const call = new Call({ call: id, token });
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
    call.watch().catch(() => undefined); // `closed` tells
  }

  get call(): string {
    return this.#call.id;
  }

  /** True where the server accepted it. */
  async update(change: Update): Promise<boolean> {
    try {
      await this.#call.update(change);
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
