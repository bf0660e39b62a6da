// One stay in a call: ties the call, the captioner and the other participants to
// what is on the screen, and takes all of it apart on leaving.

import { AudioSender, Call, type Participant, type Update } from "@surtitle/client";
import type { JoinChoice } from "./joinform";
import { OwnMedia } from "./ownmedia";
import { Peers } from "./peers";
import { Reading, type ReadingEvents } from "./reading";
import type { Screen } from "./screen";

export class Room {
  readonly #screen: Screen;
  readonly #own: OwnMedia;
  readonly #call: Call;
  readonly #reading: Reading;
  readonly #audio: AudioSender;
  readonly #peers: Peers;
  #self = "";
  #captioned: boolean;

  constructor(choice: JoinChoice, token: string | null, own: OwnMedia, screen: Screen, events: ReadingEvents) {
    this.#screen = screen;
    this.#own = own;
    const call = new Call({ call: choice.call, token, captionsLanguage: screen.settings.feed });
    this.#call = call;
    this.#reading = new Reading(call, screen, events);
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
  update(change: Update): Promise<boolean> {
    return this.#reading.update(change);
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
    await this.#reading.leave();
  }

  #listen(): void {
    const call = this.#call;
    call.on("connected", () => this.#entered());
    call.on("captions", (_, live) => live && this.#screen.tiles.markSpeaking(live.participant));
    call.on("participants", (participants) => this.#participants(participants));
    call.on("state", ({ state }) => {
      if (state === "ended") this.#captionOwnSpeech();
    });
    call.on("signal", (signal) => this.#peers.receive(signal));
  }

  #entered(): void {
    const { self, participants, iceServers } = this.#call;
    this.#self = self ?? "";
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
