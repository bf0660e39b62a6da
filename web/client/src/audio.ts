// The way of one audio track to the captioner: a send-only peer connection that
// is offered anew whenever the captioner moves or the path to it breaks.

import { ContractError } from "./contract";
import { withNack } from "./feedback";
import { pause } from "./socket";

export type CaptionerStatus = "off" | "connecting" | "connected" | "refused";
export type Request = <T>(event: string, ...payload: unknown[]) => Promise<T>;

const BROKEN_AFTER_MS = 5_000;
const LONGEST_WAIT_MS = 8_000;
/** Errors that another try soon may not meet again. */
const PASSING = new Set(["unavailable", "overloaded", "rate_limited", "conflict"]);

export class Captioner {
  readonly #request: Request;
  readonly #onStatus: (status: CaptionerStatus, problem: string | null) => void;
  #iceServers: RTCIceServer[] = [];
  #track: MediaStreamTrack | null = null;
  #connection: RTCPeerConnection | null = null;
  /** Counts offers: what belongs to an older one is left alone. */
  #generation = 0;
  #failures = 0;

  constructor(request: Request, onStatus: (status: CaptionerStatus, problem: string | null) => void) {
    this.#request = request;
    this.#onStatus = onStatus;
  }

  start(track: MediaStreamTrack, iceServers: RTCIceServer[]): void {
    this.#track = track;
    this.#iceServers = iceServers;
    this.#failures = 0;
    this.reoffer();
  }

  /** Offers again with the same track; does nothing while there is none. */
  reoffer(): void {
    if (!this.#track) return;
    this.#drop();
    void this.#offer(this.#track, this.#generation);
  }

  /** Drops the connection here; the server hears of it where `tell` says so. */
  stop(tell = true): void {
    const running = this.#track !== null;
    this.#track = null;
    this.#drop();
    this.#onStatus("off", null);
    if (running && tell) this.#request("media:close").catch(() => undefined);
  }

  #drop(): void {
    this.#generation += 1;
    this.#connection?.close();
    this.#connection = null;
  }

  async #offer(track: MediaStreamTrack, generation: number): Promise<void> {
    const current = (): boolean => generation === this.#generation;
    this.#onStatus("connecting", null);
    const connection = new RTCPeerConnection({ iceServers: this.#iceServers });
    this.#connection = connection;
    const candidates = new CandidateQueue((candidate) => {
      if (current()) this.#request("media:candidate", candidate).catch(() => undefined);
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
      const answer = await this.#request<{ sdp: string }>("media:offer", { sdp, type: "offer" });
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
      this.#onStatus("connected", null);
    } else if (connection.connectionState === "failed") {
      await this.#retry(null, generation);
    } else if (connection.connectionState === "disconnected") {
      this.#onStatus("connecting", null);
      await pause(BROKEN_AFTER_MS);
      const still = connection.connectionState === "disconnected";
      if (still && generation === this.#generation) this.reoffer();
    }
  }

  async #retry(error: unknown, generation: number): Promise<void> {
    if (error instanceof ContractError && !PASSING.has(error.code)) {
      this.#drop();
      this.#onStatus("refused", error.message);
      return;
    }
    const asked = error instanceof ContractError ? error.retryAfterMs : undefined;
    const delay = asked ?? Math.min(500 * 2 ** this.#failures, LONGEST_WAIT_MS);
    this.#failures += 1;
    this.#onStatus("connecting", error instanceof Error ? error.message : null);
    await pause(delay);
    if (generation === this.#generation) this.reoffer();
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
