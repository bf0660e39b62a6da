// Everyone of a direct call connected to everyone else. A newcomer says hello to
// those who are there; whoever says hello back can connect. Participants that
// are not pages (recordings, phones) stay silent, and nobody waits for them.

import type { PeerSignal } from "@surtitle/client";
import { Peer, type Tracks } from "./peer";
import { parseSignal, type Media, type SignalBody } from "./signals";

export interface PeersEvents {
  send(to: string, data: unknown): void;
  stream(participant: string, stream: MediaStream): void;
  media(participant: string, media: Media): void;
  recorded(participant: string): void;
}

export class Peers {
  readonly #events: PeersEvents;
  readonly #peers = new Map<string, Peer>();
  #self = "";
  #iceServers: RTCIceServer[] = [];
  #tracks: Tracks = {};
  #media: Media = { camera: false, microphone: false };

  constructor(events: PeersEvents) {
    this.#events = events;
  }

  /** Starts anew as `self`, greeting those who are there. */
  start(self: string, others: Iterable<string>, iceServers: RTCIceServer[]): void {
    this.close();
    this.#self = self;
    this.#iceServers = iceServers;
    for (const id of others) this.#send(id, this.#create(id), { kind: "hello" });
  }

  setTracks(tracks: Tracks, media: Media): void {
    this.#tracks = tracks;
    this.#media = media;
    for (const [id, peer] of this.#peers) {
      if (!peer.started) continue;
      peer.setTracks(tracks);
      this.#send(id, peer, { kind: "media", media });
    }
  }

  receive({ from, data }: PeerSignal): void {
    const signal = parseSignal(data);
    if (!signal || from === this.#self) return;
    if (signal.body.kind === "recorded") {
      this.#events.recorded(from);
      return;
    }
    let peer = this.#peers.get(from);
    // Meant for a connection that this side has given up since.
    if (signal.answers !== null && signal.answers !== peer?.session) return;
    const restarted = peer?.remoteSession != null && peer.remoteSession !== signal.session;
    if (!peer || restarted) peer = this.#create(from);
    peer.remoteSession = signal.session;

    const greeting = signal.body.kind === "hello" && signal.answers === null;
    if (greeting) this.#send(from, peer, { kind: "hello" });
    if (!peer.started) {
      peer.start(this.#iceServers, this.#tracks);
      this.#send(from, peer, { kind: "media", media: this.#media });
    }
    void peer.receive(signal.body);
  }

  /** Keeps only the connections to those who are still there. */
  retain(participants: ReadonlyMap<string, unknown>): void {
    for (const [id, peer] of this.#peers) {
      if (participants.has(id)) continue;
      peer.close();
      this.#peers.delete(id);
    }
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
  }

  #create(id: string): Peer {
    this.#peers.get(id)?.close();
    const peer: Peer = new Peer(this.#self < id, {
      send: (body) => this.#send(id, peer, body),
      stream: (stream) => this.#events.stream(id, stream),
      media: (media) => this.#events.media(id, media),
    });
    this.#peers.set(id, peer);
    return peer;
  }

  #send(to: string, peer: Peer, body: SignalBody): void {
    this.#events.send(to, { session: peer.session, answers: peer.remoteSession, body });
  }
}
