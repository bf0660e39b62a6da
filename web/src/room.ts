// One stay in a call: ties the call, the captioner and the other participants to
// what is on the screen, and takes all of it apart on leaving.

import { announce } from "./announcer";
import { Call, type Joined } from "./call";
import { Captioner } from "./captioner";
import type { Captions } from "./captions";
import type { Caption, Participant, UpdateRequest } from "./contract";
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
  readonly #captioner: Captioner;
  readonly #peers: Peers;
  readonly #events: RoomEvents;
  #self = "";
  #iceServers: RTCIceServer[] = [];
  #captioned = true;
  /** The track that the captioner has or is getting. */
  #sending: MediaStreamTrack | undefined;

  constructor(choice: JoinChoice, token: string | null, own: OwnMedia, screen: Screen, events: RoomEvents) {
    this.#screen = screen;
    this.#events = events;
    this.#own = own;
    this.#call = new Call({ call: choice.call, name: choice.name, language: choice.language }, token, {
      joined: (joined) => this.#joined(joined),
      captions: (captions, live) => this.#captions(captions, live),
      participants: (participants) => this.#participants(participants),
      state: (state) => {
        screen.status.setState(state);
        if (state.state === "ended") this.#captionOwnSpeech();
      },
      disconnected: () => {
        this.#stopSending(false);
        screen.status.setDisconnected();
      },
      waiting: (message) => events.waiting(message),
      refused: (error) => events.refused(error),
      reoffer: () => this.#captioner.reoffer(),
      signal: (signal) => this.#peers.receive(signal),
    });
    this.#captioner = new Captioner(
      (event, ...payload) => this.#call.request(event, ...payload),
      (status, problem) => screen.controls.showCaptioner(status, problem, own.tracks.audio !== undefined),
    );
    this.#peers = new Peers({
      send: (to, data) => void this.#call.request("peer:signal", { to, data }).catch(() => undefined),
      stream: (id, stream) => screen.tiles.setStream(id, stream),
      media: (id, media) => screen.tiles.setMedia(id, media),
      recorded: (id) => screen.tiles.markRecorded(id),
    });
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
  async update(change: UpdateRequest): Promise<boolean> {
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
    this.#stopSending(true);
    this.#peers.close();
    this.#own.close();
    await this.#call.leave();
  }

  #joined({ self, iceServers, participants }: Joined): void {
    const again = this.#self !== "";
    this.#self = self;
    this.#iceServers = iceServers;
    this.#stopSending(false);
    if (!again) this.#events.joined();
    this.#screen.tiles.show(participants, self);
    const others = [...participants.keys()].filter((id) => id !== self);
    this.#peers.start(self, others, iceServers);
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
    if (wanted === this.#sending) return;
    if (!wanted) return this.#stopSending(true);
    this.#sending = wanted;
    this.#captioner.start(wanted, this.#iceServers);
  }

  #stopSending(tell: boolean): void {
    this.#sending = undefined;
    this.#captioner.stop(tell);
  }
}
