// The tracks of this participant: what is switched on, and switching it.

import { openDevice, type Kind } from "./devices";
import type { Tracks } from "./peer";
import type { Media } from "./signals";

export interface Choice {
  enabled: boolean;
  deviceId: string;
}

export class OwnMedia {
  readonly #choices: Record<Kind, Choice>;
  readonly #onChange: () => void;
  #tracks: Tracks = {};
  #closed = false;

  constructor(choices: Record<Kind, Choice>, onChange: () => void) {
    this.#choices = choices;
    this.#onChange = onChange;
  }

  get tracks(): Tracks {
    return this.#tracks;
  }

  get media(): Media {
    return {
      camera: this.#tracks.video !== undefined,
      microphone: this.#tracks.audio?.enabled === true,
    };
  }

  /** Opens what was chosen on the join form; gives what went wrong, in words. */
  async open(): Promise<string[]> {
    const problems: string[] = [];
    for (const kind of ["audio", "video"] as const) {
      if (!this.#choices[kind].enabled) continue;
      const problem = await this.#open(kind);
      if (problem) problems.push(problem);
    }
    return problems;
  }

  /** Muting keeps the track, so that speaking again is immediate. */
  async toggleMicrophone(): Promise<string | null> {
    const { audio } = this.#tracks;
    if (!audio) return this.#open("audio");
    audio.enabled = !audio.enabled;
    this.#onChange();
    return null;
  }

  /** Off means off: the camera is given back and its light goes out. */
  async toggleCamera(): Promise<string | null> {
    if (!this.#tracks.video) return this.#open("video");
    this.#close("video");
    return null;
  }

  close(): void {
    this.#closed = true;
    for (const track of Object.values(this.#tracks)) track.stop();
    this.#tracks = {};
  }

  async #open(kind: Kind): Promise<string | null> {
    const { track, problem } = await openDevice(kind, this.#choices[kind].deviceId);
    if (!track) return problem;
    if (this.#closed) {
      track.stop();
      return null;
    }
    track.addEventListener("ended", () => this.#close(kind));
    this.#tracks = { ...this.#tracks, [kind]: track };
    this.#onChange();
    return null;
  }

  #close(kind: Kind): void {
    const { [kind]: track, ...others } = this.#tracks;
    track?.stop();
    this.#tracks = others;
    this.#onChange();
  }
}
