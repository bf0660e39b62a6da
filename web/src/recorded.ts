// A recorded speaker: a second participant of this call, with a connection of
// its own, whose microphone plays recordings and who leaves after the last one.

import { AudioSender, Call } from "@surtitle/client";
import { pause } from "@surtitle/client/socket";
import { newSession } from "./signals";
import { loadClip, type Clip } from "./voices";

const BETWEEN_CLIPS_SECONDS = 1;
const LOCAL_VOLUME = 0.2;
/** Time for the last words to become captions before the speaker leaves. */
const STAYS_AFTER_MS = 4_000;
const CONNECTS_WITHIN_MS = 20_000;

export class RecordedSpeaker {
  readonly name: string;
  readonly #clips: readonly Clip[];
  readonly #session = newSession();
  readonly #context = new AudioContext({ sampleRate: 48_000 });
  readonly #stop = new AbortController();
  #call: Call | null = null;

  constructor(name: string, clips: readonly Clip[]) {
    this.name = name;
    this.#clips = clips;
  }

  /** Joins, speaks and leaves; resolves when that is over, however it ends. */
  async speak(call: string, token: string | null, joined: (participant: string) => void): Promise<void> {
    try {
      const buffers = Promise.all(this.#clips.map((clip) => loadClip(this.#context, clip)));
      buffers.catch(() => undefined);
      const there = new Call({ call, token });
      this.#call = there;
      there.on("disconnected", () => this.#stop.abort(new Error("The recorded speaker lost its connection.")));
      there.on("waiting", (message) => this.#stop.abort(new Error(message)));
      const language = this.#clips[0]?.language ?? "auto";
      await this.#until(there.join({ name: this.name, language }));
      joined(there.self!);
      this.#introduce(there);
      const output = this.#context.createMediaStreamDestination();
      await this.#until(this.#connectMedia(there, output.stream.getAudioTracks()[0]!));
      await this.#until(this.#play(await buffers, output));
      await this.#until(pause(STAYS_AFTER_MS));
    } finally {
      await this.#leave();
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Tells the pages of the call that there is nobody to connect to. */
  #introduce(call: Call): void {
    const data = { session: this.#session, answers: null, body: { kind: "recorded" } };
    const told = new Set([call.self]);
    const tell = (): void => {
      for (const to of call.participants.keys()) {
        if (!told.has(to)) call.request("peer:signal", { to, data }).catch(() => undefined);
        told.add(to);
      }
    };
    call.on("participants", tell);
    tell();
  }

  #connectMedia(call: Call, track: MediaStreamTrack): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (problem: string | null): void =>
        reject(new Error(problem ?? "The recorded speaker could not connect."));
      const audio = new AudioSender(call);
      audio.on("status", (status, problem) => {
        if (status === "connected") resolve();
        if (status === "refused") refuse(problem);
      });
      setTimeout(() => refuse(null), CONNECTS_WITHIN_MS);
      audio.send(track);
    });
  }

  /** Schedules every clip on the audio clock; resolves when the last has ended. */
  #play(buffers: readonly AudioBuffer[], output: MediaStreamAudioDestinationNode): Promise<void> {
    return new Promise((resolve) => {
      const context = this.#context;
      const local = new GainNode(context, { gain: LOCAL_VOLUME });
      local.connect(context.destination);
      let start = context.currentTime + 0.5;
      buffers.forEach((buffer, index) => {
        const source = new AudioBufferSourceNode(context, { buffer });
        source.connect(output);
        source.connect(local);
        source.start(start);
        start += buffer.duration + BETWEEN_CLIPS_SECONDS;
        if (index === buffers.length - 1) source.addEventListener("ended", () => resolve());
      });
    });
  }

  async #leave(): Promise<void> {
    await this.#call?.leave();
    await this.#context.close();
  }

  /** The promise's value, unless `stop` comes first. */
  #until<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      const stopped = (): void => reject(signal.reason as Error);
      if (signal.aborted) stopped();
      signal.addEventListener("abort", stopped, { once: true });
      promise.then(resolve, reject);
    });
  }
}
