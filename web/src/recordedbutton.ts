// The button that lets recorded speakers join, one after another.

import { byId } from "./dom";
import { RecordedSpeaker } from "./recorded";
import { toast } from "./toast";
import { loadVoices, type Voices } from "./voices";

export class RecordedButton {
  readonly #button = byId<HTMLButtonElement>("recorded-speaker");
  readonly #label = this.#button.querySelector("span")!;
  readonly #token: string | null;
  readonly #onJoined: (participant: string) => void;
  readonly #speaking = new Map<string, RecordedSpeaker>();
  #voices: Voices | null = null;
  #call = "";
  #next = 0;

  constructor(token: string | null, onJoined: (participant: string) => void) {
    this.#token = token;
    this.#onJoined = onJoined;
    // A token names one participant, who cannot be there twice.
    byId("recorded-box").hidden = token !== null;
    this.#button.addEventListener("click", () => void this.#click());
  }

  setCall(call: string): void {
    this.#call = call;
    this.#next = 0;
    this.#draw();
  }

  stop(): void {
    for (const speaker of this.#speaking.values()) speaker.stop();
  }

  async #click(): Promise<void> {
    this.#button.disabled = true;
    this.#label.textContent = "Joining…";
    try {
      this.#voices ??= await loadVoices();
      const name = this.#nextName(this.#voices);
      if (name !== null) void this.#speak(name, this.#voices);
    } catch (error) {
      toast(error instanceof Error ? error.message : "The recorded speakers could not be loaded.");
      this.#draw();
    }
  }

  #nextName(voices: Voices): string | null {
    const names = [...voices.keys()];
    for (let step = 0; step < names.length; step += 1) {
      const name = names[(this.#next + step) % names.length]!;
      if (this.#speaking.has(name)) continue;
      this.#next = (this.#next + step + 1) % names.length;
      return name;
    }
    return null;
  }

  async #speak(name: string, voices: Voices): Promise<void> {
    const speaker = new RecordedSpeaker(name, voices.get(name) ?? []);
    this.#speaking.set(name, speaker);
    try {
      await speaker.speak(this.#call, this.#token, (participant) => {
        this.#onJoined(participant);
        this.#draw();
      });
    } catch (error) {
      const stopped = error instanceof DOMException && error.name === "AbortError";
      if (!stopped) toast(error instanceof Error ? error.message : "The recorded speaker could not join.");
    } finally {
      this.#speaking.delete(name);
      this.#draw();
    }
  }

  #draw(): void {
    const everyone = this.#voices !== null && this.#speaking.size === this.#voices.size;
    this.#button.disabled = everyone;
    this.#label.textContent = everyone
      ? "All recorded speakers are here"
      : this.#speaking.size > 0
        ? "Let another one join"
        : "Let a recorded speaker join";
  }
}
