// Being in a call, or watching it: enters again after a lost connection from the last
// final that is here, and fetches finals that were missed. Media is not here.

import type { Socket } from "socket.io-client";
import { hasHole, noCaptions, receive, receiveAnswer, type Captions } from "./captions";
import {
  ContractError,
  type CallState,
  type Caption,
  type Join,
  type JoinAnswer,
  type Participant,
  type ParticipantEvent,
  type PeerSignal,
  type Reoffer,
  type SinceAnswer,
  type Update,
  type Watch,
  type WatchAnswer,
} from "./contract";
import { Emitter } from "./emitter";
import { isUnauthorized, openSocket, pause, request, type Token } from "./socket";

export interface CallOptions {
  call: string;
  /** The gateway's address, such as `https://captions.example.com`; by itself the page's own. */
  server?: string | undefined;
  /** A JWT, or a function that fetches one: asked again before each connection. */
  token?: Token | null | undefined;
  /** The feed to read: `spoken`, the default, or a language tag. */
  captionsLanguage?: string | undefined;
}

/** What somebody says of themselves on joining. */
export interface Person {
  name?: string;
  /** Spoken; by itself it is detected. */
  language?: string;
  /** False: none of their speech is captioned. */
  captioned?: boolean;
  /** True: their name is hidden in captions and transcripts. */
  anonymous?: boolean;
}

/** `idle` before `join` or `watch`; `closed` when it was left or refused, for good. */
export type Connection = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

export type CallEvents = {
  /** In the call, the first time and after each reconnect; media starts anew. */
  connected: [];
  disconnected: [];
  /** `live` is the caption that caused it, null for what came from the past. */
  captions: [captions: Captions, live: Caption | null];
  participants: [participants: ReadonlyMap<string, Participant>];
  state: [state: CallState];
  /** Not in the call yet, and still trying. */
  waiting: [message: string];
  /** Nothing more will come: left (null), or refused. */
  closed: [error: Error | null];
  /** The captioner moved: it wants a fresh offer. */
  reoffer: [reason: string];
  signal: [signal: PeerSignal];
};

export class Call extends Emitter<CallEvents> {
  readonly id: string;
  readonly #socket: Socket;
  readonly #token: Token | null;
  /** Null for who watches only. */
  #person: Person | null = null;
  #feed: string;
  #update: Update = {};
  #captions: Captions;
  #participants: ReadonlyMap<string, Participant> = new Map();
  #state: CallState | null = null;
  #self: string | null = null;
  #iceServers: RTCIceServer[] = [];
  #connection: Connection = "idle";
  #refreshed = false;
  #repairing = false;
  /** Counts attempts at entering: an older one does not go on beside a newer. */
  #entries = 0;

  constructor({ call, server, token = null, captionsLanguage = "spoken" }: CallOptions) {
    super();
    this.id = call;
    this.#feed = captionsLanguage;
    this.#captions = noCaptions(captionsLanguage);
    this.#token = token;
    this.#socket = openSocket(server, token);
    this.#listen();
  }

  get captions(): Captions {
    return this.#captions;
  }

  /** By id; empty for who watches. */
  get participants(): ReadonlyMap<string, Participant> {
    return this.#participants;
  }

  /** Null before the server has told. */
  get state(): CallState | null {
    return this.#state;
  }

  /** One's own participant id, null for who watches. */
  get self(): string | null {
    return this.#self;
  }

  get iceServers(): RTCIceServer[] {
    return this.#iceServers;
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** Take part. Resolves once in the call; rejects where the server refuses. */
  join(person: Person = {}): Promise<void> {
    return this.#begin(person);
  }

  /** Read captions only. Resolves once they come; rejects where the server refuses. */
  watch(): Promise<void> {
    return this.#begin(null);
  }

  /** An event of the contract; rejects with `ContractError` where it is refused. */
  request<T = unknown>(event: string, ...payload: unknown[]): Promise<T> {
    return request<T>(this.#socket, event, ...payload);
  }

  /** Settings of this participant; they are told again after a reconnect. */
  async update(change: Update): Promise<void> {
    await this.request("call:update", change);
    const { captions_language: feed, language, ...rest } = change;
    this.#update = { ...this.#update, ...rest };
    if (language && this.#person) this.#person = { ...this.#person, language };
    if (feed && feed !== this.#captions.feed) {
      this.#feed = feed;
      this.#set(noCaptions(feed));
      await this.#repair();
    }
  }

  /** Go. Idempotent. */
  async leave(): Promise<void> {
    const entered = this.#connection === "connected";
    if (!this.#close(null)) return;
    if (entered) await this.request("call:leave").catch(() => undefined);
    this.#socket.disconnect();
  }

  #begin(person: Person | null): Promise<void> {
    if (this.#connection !== "idle") throw new Error("This call has been entered before.");
    this.#person = person;
    if (person?.captioned !== undefined) this.#update.captioned = person.captioned;
    if (person?.anonymous !== undefined) this.#update.anonymous = person.anonymous;
    this.#connection = "connecting";
    const entered = new Promise<void>((resolve, reject) => {
      this.on("connected", resolve);
      this.on("closed", (error) => reject(error ?? new Error("The call was left.")));
    });
    this.#socket.connect();
    return entered;
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("connect", () => void this.#enter());
    socket.on("connect_error", (error) => this.#notConnected(error));
    socket.on("disconnect", (reason) => {
      if (this.#connection === "closed") return;
      this.#connection = "reconnecting";
      this.emit("disconnected");
      // After this reason alone the client would not try again by itself.
      if (reason === "io server disconnect") void this.#connectLater();
    });
    socket.on("caption", (caption: Caption) => this.#receive(caption));
    socket.on("call:participant", (event: ParticipantEvent) => this.#participant(event));
    socket.on("call:state", (state: CallState) => this.#tellState(state));
    socket.on("media:reoffer", ({ reason }: Reoffer) => this.emit("reoffer", reason));
    socket.on("token:expiring", () => void this.#renew());
    socket.on("peer:signal", (signal: PeerSignal) => this.emit("signal", signal));
  }

  /** So that the connection may go on. Where that fails it is closed, and the next one asks again. */
  async #renew(): Promise<void> {
    if (typeof this.#token !== "function") return;
    try {
      await this.request("token:refresh", { token: await this.#token() });
    } catch {
      // Told again when the token has expired.
    }
  }

  #notConnected(error: Error): void {
    if (this.#connection === "closed") return;
    if (!isUnauthorized(error)) {
      this.emit("waiting", "The server cannot be reached. Trying again…");
      // Whom the server itself refuses, since it cannot tell now who they are, it does not try again.
      if (!this.#socket.active) void this.#connectLater();
    } else if (typeof this.#token === "function" && !this.#refreshed) {
      this.#refreshed = true; // the token may have run out: the next one is a fresh one
      void this.#connectLater();
    } else {
      this.#refuse(error);
    }
  }

  async #enter(): Promise<void> {
    const entry = (this.#entries += 1);
    const since = this.#captions.settled;
    const wanted: Watch = { call: this.id, captions_language: this.#feed, since };
    try {
      if (this.#person) {
        const { name, language } = this.#person;
        const join: Join = { ...wanted, ...(name ? { name } : {}), ...(language ? { language } : {}) };
        const answer = await this.request<JoinAnswer>("call:join", join);
        this.#takeSeat(answer);
        this.#takeState(answer);
        // Before "connected": nothing is said that was not to be captioned, or under a name.
        if (Object.keys(this.#update).length > 0) await this.request("call:update", this.#update);
        this.#arrive(answer);
      } else {
        const answer = await this.request<WatchAnswer>("call:watch", wanted);
        this.#takeState(answer);
        this.#arrive(answer);
      }
    } catch (error) {
      if (this.#connection === "closed") return;
      if (!this.#mayPass(error)) return this.#refuse(error as Error);
      if (!this.#socket.connected) return;
      this.emit("waiting", `${error.message} Trying again…`);
      await pause(error.retryAfterMs ?? 2_000);
      const current = entry === this.#entries && !this.#isClosed();
      if (this.#socket.connected && current) await this.#enter();
    }
  }

  #mayPass(error: unknown): error is ContractError {
    if (!(error instanceof ContractError)) return false;
    // After a lost connection the server may still hold the place of the old one.
    if (error.code === "conflict") return this.#connection === "reconnecting";
    return ["unavailable", "overloaded", "rate_limited"].includes(error.code);
  }

  #takeSeat(answer: JoinAnswer): void {
    this.#self = answer.participant;
    this.#participants = new Map(answer.participants.map((one) => [one.id, one]));
    this.#iceServers = answer.ice_servers;
  }

  /** At once: a newer one may be told before the call counts as entered. */
  #takeState({ state, captioning, reason = "" }: WatchAnswer): void {
    this.#state = { state, captioning, reason };
  }

  #arrive({ captions, seq }: WatchAnswer): void {
    if (this.#isClosed()) return;
    this.#connection = "connected";
    this.#refreshed = false;
    this.emit("connected");
    this.emit("participants", this.#participants);
    if (this.#state) this.emit("state", this.#state);
    this.#set(receiveAnswer(this.#captions, captions, seq));
    if (this.#captions.settled < seq) void this.#repair();
  }

  #participant({ event, participant }: ParticipantEvent): void {
    const participants = new Map(this.#participants);
    if (event === "left") participants.delete(participant.id);
    else participants.set(participant.id, participant);
    this.#participants = participants;
    this.emit("participants", participants);
  }

  #tellState(state: CallState): void {
    this.#state = state;
    this.emit("state", state);
  }

  #receive(caption: Caption): void {
    const next = receive(this.#captions, [caption]);
    if (next === this.#captions) return;
    this.#captions = next;
    this.emit("captions", next, caption);
    if (this.#connection === "connected" && hasHole(next)) void this.#repair();
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
    this.emit("captions", captions, null);
  }

  async #connectLater(): Promise<void> {
    await pause(1_000);
    if (!this.#isClosed()) this.#socket.connect();
  }

  #refuse(error: Error): void {
    if (this.#close(error)) this.#socket.disconnect();
  }

  /** False where it was closed already. */
  #close(error: Error | null): boolean {
    if (this.#isClosed()) return false;
    this.#connection = "closed";
    this.emit("closed", error);
    return true;
  }

  #isClosed(): boolean {
    return this.#connection === "closed";
  }
}
