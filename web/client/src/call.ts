// Being in a call: joins, joins again after a lost connection from the last
// final that is here, and fetches finals that were missed. Media is not here.

import type { Socket } from "socket.io-client";
import { hasHole, noCaptions, receive, receiveAnswer, type Captions } from "./captions";
import {
  ContractError,
  participantId,
  type CallState,
  type Caption,
  type JoinAnswer,
  type JoinRequest,
  type Participant,
  type ParticipantEvent,
  type PeerSignal,
  type SinceAnswer,
  type UpdateRequest,
} from "./contract";
import { isUnauthorized, openSocket, pause, request } from "./socket";

export interface Joined {
  self: string;
  iceServers: RTCIceServer[];
  participants: ReadonlyMap<string, Participant>;
}

export interface CallEvents {
  /** The first time and after each reconnect; media starts anew. */
  joined(joined: Joined): void;
  /** `live` is the caption that caused it, null for what came from the past. */
  captions(captions: Captions, live: Caption | null): void;
  participants(participants: ReadonlyMap<string, Participant>): void;
  state(state: CallState): void;
  disconnected(): void;
  /** Not joined yet, and still trying. */
  waiting(message: string): void;
  /** The call cannot be joined again; nothing more will come. */
  refused(error: Error): void;
  reoffer(): void;
  signal(signal: PeerSignal): void;
}

export class Call {
  readonly id: string;
  readonly #socket: Socket;
  readonly #events: CallEvents;
  #wanted: JoinRequest;
  #update: UpdateRequest = {};
  #captions: Captions;
  #participants = new Map<string, Participant>();
  #joined = false;
  #everJoined = false;
  #repairing = false;
  #closed = false;

  constructor(wanted: JoinRequest, token: string | null, events: CallEvents) {
    this.id = wanted.call;
    this.#wanted = wanted;
    this.#events = events;
    this.#captions = noCaptions(wanted.captions_language ?? "spoken");
    this.#socket = openSocket(token);
    this.#listen();
  }

  request<T = unknown>(event: string, ...payload: unknown[]): Promise<T> {
    return request<T>(this.#socket, event, ...payload);
  }

  /** Settings of this participant; they are told again after a reconnect. */
  async update(change: UpdateRequest): Promise<void> {
    await this.request("call:update", change);
    this.#update = { ...this.#update, ...change };
    if (change.language) this.#wanted = { ...this.#wanted, language: change.language };
    if (change.captions_language && change.captions_language !== this.#captions.feed) {
      this.#wanted = { ...this.#wanted, captions_language: change.captions_language };
      this.#set(noCaptions(change.captions_language));
      await this.#repair();
    }
  }

  async leave(): Promise<void> {
    this.#closed = true;
    if (this.#joined) await this.request("call:leave").catch(() => undefined);
    this.#socket.disconnect();
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("connect", () => void this.#join());
    socket.on("connect_error", (error) => {
      if (isUnauthorized(error)) this.#refuse(error);
      else this.#events.waiting("The server cannot be reached. Trying again…");
    });
    socket.on("disconnect", (reason) => {
      this.#joined = false;
      if (this.#closed) return;
      this.#events.disconnected();
      // After this reason alone the client would not try again by itself.
      if (reason === "io server disconnect") void this.#connectLater();
    });
    socket.on("caption", (caption: Caption) => this.#receive(caption));
    socket.on("call:participant", (event: ParticipantEvent) => this.#participant(event));
    socket.on("call:state", (state: CallState) => this.#events.state(state));
    socket.on("media:reoffer", () => this.#events.reoffer());
    socket.on("peer:signal", (signal: PeerSignal) => this.#events.signal(signal));
  }

  async #join(): Promise<void> {
    try {
      const answer = await this.request<JoinAnswer>("call:join", {
        ...this.#wanted,
        since: this.#captions.settled,
      });
      if (this.#closed) return;
      await this.#arrive(answer);
    } catch (error) {
      if (this.#closed) return;
      if (!this.#mayPass(error)) return this.#refuse(error as Error);
      if (!this.#socket.connected) return;
      this.#events.waiting(`${error.message} Trying again…`);
      await pause(error.retryAfterMs ?? 2_000);
      if (this.#socket.connected && !this.#closed) await this.#join();
    }
  }

  #mayPass(error: unknown): error is ContractError {
    if (!(error instanceof ContractError)) return false;
    // After a lost connection the server may still hold the place of the old one.
    if (error.code === "conflict") return this.#everJoined;
    return ["unavailable", "overloaded", "rate_limited"].includes(error.code);
  }

  async #arrive(answer: JoinAnswer): Promise<void> {
    this.#joined = true;
    this.#everJoined = true;
    const self = participantId(answer);
    this.#participants = new Map(answer.participants.map((one) => [one.id, one]));
    if (!this.#participants.has(self)) {
      this.#participants.set(self, { id: self, name: this.#wanted.name ?? "" });
    }
    this.#events.joined({ self, iceServers: answer.ice_servers, participants: this.#participants });
    this.#events.state(typeof answer.state === "string" ? { state: answer.state } : answer.state);
    this.#set(receiveAnswer(this.#captions, answer.captions, answer.seq));
    if (this.#captions.settled < answer.seq) await this.#repair();
    if (Object.keys(this.#update).length > 0) {
      await this.request("call:update", this.#update).catch(() => undefined);
    }
  }

  #participant({ event, participant }: ParticipantEvent): void {
    if (event === "left") this.#participants.delete(participant.id);
    else this.#participants.set(participant.id, participant);
    this.#events.participants(this.#participants);
  }

  #receive(caption: Caption): void {
    const next = receive(this.#captions, [caption]);
    if (next === this.#captions) return;
    this.#captions = next;
    this.#events.captions(next, caption);
    if (this.#joined && hasHole(next)) void this.#repair();
  }

  /** Asks for what is missing until the server has no more of it. */
  async #repair(): Promise<void> {
    if (this.#repairing) return;
    this.#repairing = true;
    try {
      for (;;) {
        const { settled, feed } = this.#captions;
        const answer = await this.request<SinceAnswer>("captions:since", { since: settled });
        if (feed !== this.#captions.feed) continue;
        this.#set(receiveAnswer(this.#captions, answer.captions, answer.seq));
        const advanced = this.#captions.settled > settled;
        if (!advanced || (this.#captions.settled >= answer.seq && !hasHole(this.#captions))) return;
      }
    } catch {
      // The next final shows the hole again, and a new connection asks anyway.
    } finally {
      this.#repairing = false;
    }
  }

  #set(captions: Captions): void {
    this.#captions = captions;
    this.#events.captions(captions, null);
  }

  async #connectLater(): Promise<void> {
    await pause(1_000);
    if (!this.#closed) this.#socket.connect();
  }

  #refuse(error: Error): void {
    this.#closed = true;
    this.#socket.disconnect();
    this.#events.refused(error);
  }
}
