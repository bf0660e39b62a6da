// The way of one audio track to the captioner: a send-only peer connection that is offered
// anew whenever the captioner moves, the path to it breaks, or the call was entered again.

import type { Call } from "./call";
import { ContractError } from "./contract";
import { Emitter } from "./emitter";
import { withNack } from "./feedback";
import { pause } from "./socket";

export type AudioStatus = "off" | "connecting" | "connected" | "refused";

export type AudioEvents = {
  /** `problem` says in words why it does not go on. */
  status: [status: AudioStatus, problem: string | null];
};

const BROKEN_AFTER_MS = 5_000;
const LONGEST_WAIT_MS = 8_000;
/** Errors that another try soon may not meet again. */
const PASSING = new Set(["unavailable", "overloaded", "rate_limited", "conflict"]);

/** One's audio in a call that was joined. */
export class AudioSender extends Emitter<AudioEvents> {
  readonly #call: Call;
  #track: MediaStreamTrack | null = null;
  #connection: RTCPeerConnection | null = null;
  /** Counts offers: what belongs to an older one is left alone. */
  #generation = 0;
  #failures = 0;

  constructor(call: Call) {
    super();
    this.#call = call;
    call.on("connected", () => this.#entered());
    call.on("reoffer", () => this.#again());
    call.on("closed", () => this.stop());
  }

  /** What is sent, or would be while the call is connected. */
  get track(): MediaStreamTrack | null {
    return this.#track;
  }

  /** Send this from now on, in the place of what was sent before. */
  send(track: MediaStreamTrack): void {
    this.#track = track;
    this.#again();
  }

  /** Send nothing more, and have the last words captioned. */
  stop(): void {
    const running = this.#track !== null;
    this.#track = null;
    this.#drop();
    this.#tell("off", null);
    const told = running && this.#call.connection === "connected";
    if (told) this.#call.request("media:close").catch(() => undefined);
  }

  /** Audio outlives a gateway: where it still arrives, nothing is to be done. */
  #entered(): void {
    const me = this.#call.participants.get(this.#call.self ?? "");
    const state = this.#connection?.connectionState;
    const alive = state === "connected" || state === "connecting";
    if (!alive || !me?.publishing) this.#again();
  }

  #again(): void {
    this.#failures = 0;
    this.#reoffer();
  }

  /** Offers with the same track; does nothing while there is none, or no way to do it. */
  #reoffer(): void {
    if (!this.#track || this.#call.connection !== "connected") return;
    this.#drop();
    void this.#offer(this.#track, this.#generation);
  }

  #tell(status: AudioStatus, problem: string | null): void {
    this.emit("status", status, problem);
  }

  #drop(): void {
    this.#generation += 1;
    this.#connection?.close();
    this.#connection = null;
  }

  async #offer(track: MediaStreamTrack, generation: number): Promise<void> {
    const current = (): boolean => generation === this.#generation;
    this.#tell("connecting", null);
    const connection = new RTCPeerConnection({ iceServers: this.#call.iceServers });
    this.#connection = connection;
    const candidates = new CandidateQueue((candidate) => {
      if (current()) this.#call.request("media:candidate", candidate).catch(() => undefined);
    });
    connection.addEventListener("icecandidate", ({ candidate }) => candidates.add(candidate));
    connection.addEventListener("connectionstatechange", () => {
      if (current()) void this.#watch(connection, generation);
    });
    try {
      connection.addTransceiver(track, { direction: "sendonly", streams: [new MediaStream([track])] });
      const offered = await connection.createOffer();
      await connection.setLocalDescription({ type: "offer", sdp: withNack(offered.sdp ?? "") });
      if (!current()) return;
      const { sdp } = connection.localDescription!;
      const answer = await this.#call.request<{ sdp: string }>("media:offer", { sdp, type: "offer" });
      if (!current()) return;
      await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
      candidates.open();
    } catch (error) {
      if (current()) await this.#retry(error, generation);
    }
  }

  async #watch(connection: RTCPeerConnection, generation: number): Promise<void> {
    if (connection.connectionState === "connected") {
      this.#failures = 0;
      this.#tell("connected", null);
    } else if (connection.connectionState === "failed") {
      await this.#retry(null, generation);
    } else if (connection.connectionState === "disconnected") {
      this.#tell("connecting", null);
      await pause(BROKEN_AFTER_MS);
      const still = connection.connectionState === "disconnected";
      if (still && generation === this.#generation) this.#reoffer();
    }
  }

  async #retry(error: unknown, generation: number): Promise<void> {
    if (error instanceof ContractError && !PASSING.has(error.code)) {
      this.#drop();
      this.#tell("refused", error.message);
      return;
    }
    const asked = error instanceof ContractError ? error.retryAfterMs : undefined;
    const delay = asked ?? Math.min(500 * 2 ** this.#failures, LONGEST_WAIT_MS);
    this.#failures += 1;
    this.#tell("connecting", error instanceof Error ? error.message : null);
    await pause(delay);
    if (generation === this.#generation) this.#reoffer();
  }
}

/** Holds candidates until the server knows the offer that they belong to. */
class CandidateQueue {
  readonly #send: (candidate: RTCIceCandidateInit | { candidate: null }) => void;
  #waiting: (RTCIceCandidate | null)[] | null = [];

  constructor(send: (candidate: RTCIceCandidateInit | { candidate: null }) => void) {
    this.#send = send;
  }

  add(candidate: RTCIceCandidate | null): void {
    if (this.#waiting) {
      this.#waiting.push(candidate);
      return;
    }
    if (!candidate) {
      this.#send({ candidate: null });
      return;
    }
    const { sdpMid, sdpMLineIndex } = candidate;
    this.#send({ candidate: candidate.candidate, sdpMid, sdpMLineIndex });
  }

  open(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const candidate of waiting) this.add(candidate);
  }
}
