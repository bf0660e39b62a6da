// One tile a participant: the picture where there is one, initials otherwise.

import type { Participant } from "@surtitle/client";
import { create } from "@surtitle/client/dom";
import { icon } from "./dom";
import { tint } from "@surtitle/client/tint";
import { initials } from "./people";
import type { Media } from "./signals";

const SPEAKING_MS = 1_600;

interface Tile {
  element: HTMLElement;
  video: HTMLVideoElement;
  avatar: HTMLElement;
  name: HTMLElement;
  badge: HTMLElement;
  muted: HTMLElement;
  speaking: number;
}

export class Tiles {
  readonly #root: HTMLElement;
  readonly #tiles = new Map<string, Tile>();
  readonly #recorded = new Set<string>();
  readonly #onBlocked: () => void;

  constructor(root: HTMLElement, onBlocked: () => void) {
    this.#root = root;
    this.#onBlocked = onBlocked;
  }

  /** One tile for each of these and no other; one's own comes last. */
  show(participants: ReadonlyMap<string, Participant>, self: string): void {
    for (const [id, tile] of this.#tiles) {
      if (participants.has(id)) continue;
      tile.video.srcObject = null;
      tile.element.remove();
      this.#tiles.delete(id);
    }
    for (const [id, participant] of participants) this.#draw(id, participant, id === self);
    const own = this.#tiles.get(self);
    if (own && this.#root.lastElementChild !== own.element) this.#root.append(own.element);
    this.#root.dataset["count"] = String(Math.min(this.#tiles.size, 7));
  }

  setStream(id: string, stream: MediaStream | null): void {
    const tile = this.#tiles.get(id);
    if (!tile || tile.video.srcObject === stream) return;
    tile.video.srcObject = stream;
    if (stream) {
      tile.video.play().catch((error: unknown) => {
        if (error instanceof DOMException && error.name === "NotAllowedError") this.#onBlocked();
      });
    }
  }

  /** After a click, browsers let sound begin that they held back. */
  playAll(): void {
    for (const { video } of this.#tiles.values()) {
      if (video.srcObject) video.play().catch(() => undefined);
    }
  }

  setMedia(id: string, media: Media): void {
    const tile = this.#tiles.get(id);
    if (!tile) return;
    tile.element.dataset["camera"] = String(media.camera);
    tile.muted.hidden = media.microphone;
  }

  markRecorded(id: string): void {
    this.#recorded.add(id);
    const tile = this.#tiles.get(id);
    if (tile) tile.badge.hidden = false;
  }

  markSpeaking(id: string): void {
    const tile = this.#tiles.get(id);
    if (!tile) return;
    clearTimeout(tile.speaking);
    tile.element.dataset["speaking"] = "true";
    tile.speaking = window.setTimeout(() => {
      tile.element.dataset["speaking"] = "false";
    }, SPEAKING_MS);
  }

  clear(): void {
    for (const { video } of this.#tiles.values()) video.srcObject = null;
    this.#tiles.clear();
    this.#recorded.clear();
    this.#root.replaceChildren();
  }

  #draw(id: string, participant: Participant, own: boolean): void {
    const tile = this.#tiles.get(id) ?? this.#add(id, own);
    const name = participant.name || "Guest";
    tile.name.textContent = own ? `${name} (you)` : name;
    tile.avatar.textContent = initials(name);
    tile.badge.hidden = !this.#recorded.has(id);
  }

  #add(id: string, own: boolean): Tile {
    const video = create("video", { autoplay: "", playsinline: "" });
    video.muted = own;
    const avatar = create("span", { class: "avatar", "aria-hidden": "true" });
    const muted = create("span", { class: "muted", title: "Microphone off" }, icon("mic-off"));
    muted.append(create("span", { class: "visually-hidden" }, "Microphone off"));
    muted.hidden = true;
    const name = create("span", { class: "name" });
    const badge = create("span", { class: "badge" }, "recorded");
    const speaking = create("span", { class: "speaking", "aria-hidden": "true" }, icon("voice"));
    const label = create("span", { class: "tile-label" }, muted, speaking, name, badge);
    const element = create("li", { class: "tile", "data-testid": "tile", "data-participant": id }, avatar, video, label);
    element.dataset["own"] = String(own);
    element.dataset["tint"] = tint(id);
    this.#root.append(element);
    const tile: Tile = { element, video, avatar, name, badge, muted, speaking: 0 };
    this.#tiles.set(id, tile);
    return tile;
  }
}
