// A recorded speaker: a second participant of this call, with a connection of
// its own, whose microphone plays recordings and who leaves after the last one.

import type { Socket } from "socket.io-client";
import { Captioner } from "./captioner";
import { participantId, type JoinAnswer, type ParticipantEvent } from "./contract";
import { newSession } from "./signals";
import { openSocket, pause, request } from "./socket";
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
  #socket: Socket | null = null;
  #captioner: Captioner | null = null;

  constructor(name: string, clips: readonly Clip[]) {
    this.name = name;
    this.#clips = clips;
  }

  /** Joins, speaks and leaves; resolves when that is over, however it ends. */
  async speak(call: string, token: string | null, joined: (participant: string) => void): Promise<void> {
    try {
      const buffers = Promise.all(this.#clips.map((clip) => loadClip(this.#context, clip)));
      buffers.catch(() => undefined);
      const socket = openSocket(token);
      this.#socket = socket;
      socket.on("disconnect", () => this.#stop.abort(new Error("The recorded speaker lost its connection.")));
      await this.#until(connected(socket));
      const answer = await request<JoinAnswer>(socket, "call:join", {
        call,
        name: this.name,
        language: this.#clips[0]?.language ?? "auto",
      });
      joined(participantId(answer));
      this.#introduce(socket, answer);
      const output = this.#context.createMediaStreamDestination();
      await this.#until(this.#connectMedia(socket, answer, output.stream.getAudioTracks()[0]!));
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
  #introduce(socket: Socket, answer: JoinAnswer): void {
    const self = participantId(answer);
    const data = { session: this.#session, answers: null, body: { kind: "recorded" } };
    const tell = (to: string): void => {
      if (to !== self) request(socket, "peer:signal", { to, data }).catch(() => undefined);
    };
    socket.on("call:participant", ({ event, participant }: ParticipantEvent) => {
      if (event === "joined") tell(participant.id);
    });
    for (const { id } of answer.participants) tell(id);
  }

  #connectMedia(socket: Socket, answer: JoinAnswer, track: MediaStreamTrack): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (problem: string | null): void =>
        reject(new Error(problem ?? "The recorded speaker could not connect."));
      const captioner = new Captioner(
        (event, ...payload) => request(socket, event, ...payload),
        (status, problem) => {
          if (status === "connected") resolve();
          if (status === "refused") refuse(problem);
        },
      );
      this.#captioner = captioner;
      socket.on("media:reoffer", () => captioner.reoffer());
      setTimeout(() => refuse(null), CONNECTS_WITHIN_MS);
      captioner.start(track, answer.ice_servers);
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
    const socket = this.#socket;
    if (socket?.connected) {
      this.#captioner?.stop();
      await request(socket, "call:leave").catch(() => undefined);
    } else {
      this.#captioner?.stop(false);
    }
    socket?.disconnect();
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

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve());
    socket.once("connect_error", (error) => reject(error));
  });
}

