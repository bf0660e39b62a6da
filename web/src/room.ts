// One stay in a call: ties the call, the captioner and the other participants to
// what is on the screen, and takes all of it apart on leaving.

import {
  AudioSender,
  Call,
  type Caption,
  type Captions,
  type Participant,
  type Update,
} from "@surtitle/client";
import { announce } from "./announcer";
import type { JoinChoice } from "./joinform";
import { OwnMedia } from "./ownmedia";
import { Peers } from "./peers";
import type { Screen } from "./screen";

export interface RoomEvents {
  joined(): void;
  waiting(message: string): void;
  /** The server said no, before or after joining. */
  refused(error: Error): void;
}

export class Room {
  readonly #screen: Screen;
  readonly #own: OwnMedia;
  readonly #call: Call;
  readonly #audio: AudioSender;
  readonly #peers: Peers;
  readonly #events: RoomEvents;
  #self = "";
  #captioned: boolean;

  constructor(choice: JoinChoice, token: string | null, own: OwnMedia, screen: Screen, events: RoomEvents) {
    this.#screen = screen;
    this.#events = events;
    this.#own = own;
    const call = new Call({ call: choice.call, token });
    this.#call = call;
    this.#audio = new AudioSender(call);
    this.#audio.on("status", (status, problem) =>
      screen.controls.showCaptioner(status, problem, own.tracks.audio !== undefined),
    );
    this.#peers = new Peers({
      send: (to, data) => void call.request("peer:signal", { to, data }).catch(() => undefined),
      stream: (id, stream) => screen.tiles.setStream(id, stream),
      media: (id, media) => screen.tiles.setMedia(id, media),
      recorded: (id) => screen.tiles.markRecorded(id),
    });
    this.#captioned = choice.captioned;
    this.#listen();
    const { name, language, captioned, anonymous } = choice;
    call.join({ name, language, captioned, anonymous }).catch(() => undefined); // `closed` tells
  }

  get call(): string {
    return this.#call.id;
  }

  /** Off holds whatever the server says: then no speech is sent at all. */
  async toggleCaptioned(): Promise<void> {
    const wanted = !this.#captioned;
    this.#setCaptioned(wanted);
    const accepted = await this.update({ captioned: wanted });
    if (!accepted && wanted) this.#setCaptioned(false);
  }

  /** True where the server accepted it. */
  async update(change: Update): Promise<boolean> {
    try {
      await this.#call.update(change);
      if (change.captions_language) {
        this.#screen.overlay.clear();
        this.#screen.transcript.setCall(this.call, change.captions_language);
      }
      return true;
    } catch (error) {
      this.#screen.toast(error instanceof Error ? error.message : "That did not work.");
      return false;
    }
  }

  /** Own tracks have changed: the others, the captioner and the buttons follow. */
  mediaChanged(): void {
    const { tracks, media } = this.#own;
    this.#screen.controls.showMedia(media, tracks.audio !== undefined);
    this.#screen.tiles.setStream(this.#self, tracks.video ? new MediaStream([tracks.video]) : null);
    this.#screen.tiles.setMedia(this.#self, media);
    this.#peers.setTracks(tracks, media);
    this.#captionOwnSpeech();
  }

  async leave(): Promise<void> {
    this.#peers.close();
    this.#own.close();
    await this.#call.leave();
  }

  #listen(): void {
    const call = this.#call;
    call.on("connected", () => this.#entered());
    call.on("captions", (captions, live) => this.#captions(captions, live));
    call.on("participants", (participants) => this.#participants(participants));
    call.on("state", (state) => {
      this.#screen.status.setState(state);
      if (state.state === "ended") this.#captionOwnSpeech();
    });
    call.on("disconnected", () => this.#screen.status.setDisconnected());
    call.on("waiting", (message) => this.#events.waiting(message));
    call.on("closed", (error) => error && this.#events.refused(error));
    call.on("signal", (signal) => this.#peers.receive(signal));
  }

  #entered(): void {
    const { self, participants, iceServers } = this.#call;
    const again = this.#self !== "";
    this.#self = self ?? "";
    if (!again) this.#events.joined();
    this.#screen.tiles.show(participants, this.#self);
    const others = [...participants.keys()].filter((id) => id !== this.#self);
    this.#peers.start(this.#self, others, iceServers);
    this.#screen.controls.showCaptioned(this.#captioned);
    this.mediaChanged();
  }

  #participants(participants: ReadonlyMap<string, Participant>): void {
    this.#screen.tiles.show(participants, this.#self);
    this.#peers.retain(participants);
  }

  #captions(captions: Captions, live: Caption | null): void {
    this.#screen.panel.show(captions.finals, live !== null);
    if (!live) return this.#screen.overlay.reconcile(captions);
    this.#screen.overlay.show(live);
    this.#screen.tiles.markSpeaking(live.participant);
    if (live.final && this.#screen.settings.preferences.announce) announce(live);
  }

  #setCaptioned(captioned: boolean): void {
    this.#captioned = captioned;
    this.#screen.controls.showCaptioned(captioned);
    this.#captionOwnSpeech();
  }

  /** Sends one's speech to the captioner, or stops, as everything else stands. */
  #captionOwnSpeech(): void {
    const { audio } = this.#own.tracks;
    const wanted = this.#captioned && !this.#screen.status.ended && this.#self !== "" ? audio : undefined;
    if (wanted) {
      if (wanted !== this.#audio.track) this.#audio.send(wanted);
    } else {
      this.#audio.stop();
    }
  }
}
