// The connection to one other participant, by perfect negotiation: both sides may
// offer at any time, and when offers cross the polite one takes its own back. The
// first offer is the impolite side's, with audio and video whether or not they are
// switched on: a switch then only replaces a track, and first offers never cross.

import { newSession, type Media, type SignalBody } from "./signals";

export type Tracks = Partial<Record<"audio" | "video", MediaStreamTrack>>;

export interface PeerEvents {
  send(body: SignalBody): void;
  stream(stream: MediaStream): void;
  media(media: Media): void;
}

const CHECK_EVERY_MS = 6_000;

export class Peer {
  readonly session = newSession();
  remoteSession: string | null = null;
  readonly #polite: boolean;
  readonly #events: PeerEvents;
  readonly #remote = new MediaStream();
  #connection: RTCPeerConnection | null = null;
  #tracks: Tracks = {};
  #remoteVideo: MediaStreamTrack | null = null;
  #remoteCamera = false;
  #makingOffer = false;
  /** Candidates that came before the description they belong to. */
  #early: (RTCIceCandidateInit | null)[] = [];
  #check = 0;

  constructor(polite: boolean, events: PeerEvents) {
    this.#polite = polite;
    this.#events = events;
  }

  get started(): boolean {
    return this.#connection !== null;
  }

  start(iceServers: RTCIceServer[], tracks: Tracks): void {
    if (this.#connection) return;
    const connection = new RTCPeerConnection({ iceServers });
    this.#connection = connection;
    this.#tracks = tracks;
    connection.addEventListener("negotiationneeded", () => void this.#offer(connection));
    connection.addEventListener("icecandidate", ({ candidate }) => {
      this.#events.send({ kind: "candidate", candidate: candidate?.toJSON() ?? null });
    });
    connection.addEventListener("track", ({ track }) => this.#arrived(track));
    this.#check = window.setInterval(() => this.#heal(connection), CHECK_EVERY_MS);
    if (this.#polite) return;
    for (const kind of ["audio", "video"] as const) {
      connection.addTransceiver(tracks[kind] ?? kind, { direction: "sendrecv" });
    }
  }

  setTracks(tracks: Tracks): void {
    this.#tracks = tracks;
    for (const { sender, receiver } of this.#connection?.getTransceivers() ?? []) {
      const track = tracks[receiver.track.kind as keyof Tracks] ?? null;
      if (sender.track !== track) sender.replaceTrack(track).catch(() => undefined);
    }
  }

  async receive(body: SignalBody): Promise<void> {
    const connection = this.#connection;
    if (!connection) return;
    if (body.kind === "media") this.#switched(body.media);
    if (body.kind === "description") await this.#describe(connection, body.description);
    if (body.kind === "candidate") await this.#addCandidate(connection, body.candidate);
  }

  close(): void {
    clearInterval(this.#check);
    this.#connection?.close();
    this.#connection = null;
  }

  async #offer(connection: RTCPeerConnection): Promise<void> {
    this.#makingOffer = true;
    try {
      await connection.setLocalDescription();
      this.#sendDescription(connection);
    } catch {
      // Closed meanwhile, or the other side's offer came first.
    } finally {
      this.#makingOffer = false;
    }
  }

  async #describe(connection: RTCPeerConnection, description: RTCSessionDescriptionInit): Promise<void> {
    const offer = description.type === "offer";
    const crossed = offer && (this.#makingOffer || connection.signalingState !== "stable");
    if (crossed && !this.#polite) return;
    try {
      await connection.setRemoteDescription(description);
      for (const candidate of this.#early.splice(0)) await this.#addCandidate(connection, candidate);
      if (!offer) return;
      for (const transceiver of connection.getTransceivers()) transceiver.direction = "sendrecv";
      this.setTracks(this.#tracks);
      await connection.setLocalDescription();
      this.#sendDescription(connection);
    } catch {
      // Closed meanwhile, or unusable: the check below tries again.
    }
  }

  async #addCandidate(connection: RTCPeerConnection, candidate: RTCIceCandidateInit | null): Promise<void> {
    if (!connection.remoteDescription) {
      this.#early.push(candidate);
      return;
    }
    try {
      await connection.addIceCandidate(candidate ?? undefined);
    } catch {
      // Of an offer that was ignored, or unusable here: the others may do.
    }
  }

  #sendDescription(connection: RTCPeerConnection): void {
    const description = connection.localDescription;
    if (description) this.#events.send({ kind: "description", description: description.toJSON() });
  }

  /** Candidates get lost and networks change: ICE begins again until it works. */
  #heal(connection: RTCPeerConnection): void {
    const broken = connection.connectionState !== "connected" && connection.connectionState !== "closed";
    if (broken && !this.#polite && connection.signalingState === "stable") connection.restartIce();
  }

  #arrived(track: MediaStreamTrack): void {
    if (track.kind === "video") this.#remoteVideo = track;
    else this.#remote.addTrack(track);
    this.#showVideo();
    this.#events.stream(this.#remote);
  }

  #switched(media: Media): void {
    this.#remoteCamera = media.camera;
    this.#showVideo();
    this.#events.media(media);
  }

  /** A video that never comes would hold up the sound in some browsers. */
  #showVideo(): void {
    if (!this.#remoteVideo) return;
    if (this.#remoteCamera) this.#remote.addTrack(this.#remoteVideo);
    else this.#remote.removeTrack(this.#remoteVideo);
  }
}
