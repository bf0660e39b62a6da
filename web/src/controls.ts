// The buttons of the call: what they do is the room's, how they look is here.

import type { AudioStatus } from "@surtitle/client";
import { create } from "@surtitle/client/dom";
import { byId, icon } from "./dom";
import type { Media } from "./signals";

export interface ControlEvents {
  microphone(): void;
  camera(): void;
  captioned(): void;
  leave(): void;
}

export class Controls {
  readonly #mute = byId<HTMLButtonElement>("mute");
  readonly #camera = byId<HTMLButtonElement>("camera-button");
  readonly #captioned = byId<HTMLButtonElement>("captioned");
  readonly #status = byId("captioner-status");

  constructor(events: ControlEvents) {
    this.#mute.addEventListener("click", () => events.microphone());
    this.#camera.addEventListener("click", () => events.camera());
    this.#captioned.addEventListener("click", () => events.captioned());
    byId("leave").addEventListener("click", () => events.leave());
  }

  showMedia({ microphone, camera }: Media, hasMicrophone: boolean): void {
    const muteLabel = hasMicrophone ? (microphone ? "Mute" : "Unmute") : "Microphone";
    draw(this.#mute, microphone ? "mic" : "mic-off", muteLabel, microphone);
    draw(this.#camera, camera ? "camera" : "camera-off", camera ? "Stop video" : "Start video", camera);
  }

  showCaptioned(captioned: boolean): void {
    this.#captioned.setAttribute("aria-checked", String(captioned));
  }

  showCaptioner(status: AudioStatus, problem: string | null, hasMicrophone: boolean): void {
    const words = {
      off: hasMicrophone ? "off" : "no microphone",
      connecting: "connecting…",
      connected: "on",
      refused: "not possible",
    };
    this.#status.textContent = words[status];
    this.#status.dataset["status"] = status;
    this.#captioned.title = problem ?? "";
  }
}

function draw(button: HTMLButtonElement, image: string, label: string, on: boolean): void {
  button.dataset["on"] = String(on);
  button.replaceChildren(icon(image), create("span", { class: "label" }, label));
}
