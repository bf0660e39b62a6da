// The first screen: who joins which call, with what.

import { listDevices, type Kind } from "./devices";
import { byId } from "./dom";
import { fillLanguages, type ServerLanguages } from "./languages";
import type { Choice } from "./ownmedia";
import { LevelTest } from "./leveltest";
import { keep, remember } from "./preferences";

export interface JoinChoice {
  name: string;
  call: string;
  language: string;
  captioned: boolean;
  anonymous: boolean;
  devices: Record<Kind, Choice>;
}

export class JoinForm {
  readonly #form = byId<HTMLFormElement>("join");
  readonly #name = byId<HTMLInputElement>("name");
  readonly #call = byId<HTMLInputElement>("call");
  readonly #language = byId<HTMLSelectElement>("language");
  readonly #button = byId<HTMLButtonElement>("join-button");
  readonly #message = byId("join-message");
  readonly #test = new LevelTest(
    () => byId<HTMLSelectElement>("microphone").value,
    (problem) => (problem ? this.say(problem) : void this.refreshDevices()),
  );

  constructor(call: string | null, onJoin: (choice: JoinChoice) => void) {
    this.#name.value = remember("surtitle.name") ?? "";
    if (call) this.#call.value = call;
    fillLanguages(this.#language);
    this.#language.value = remember("surtitle.language") ?? "auto";
    if (this.#language.selectedIndex < 0) this.#language.value = "auto";
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const choice = this.#choice();
      keep("surtitle.name", choice.name);
      keep("surtitle.language", choice.language);
      onJoin(choice);
    });
    for (const kind of ["microphone", "camera"]) {
      byId(`${kind}-enabled`).addEventListener("change", () => void this.refreshDevices());
    }
    void this.refreshDevices();
    if (this.#name.value === "") this.#name.focus();
  }

  /** What the server knows, for who has not said what they speak. */
  setLanguages({ english_only: englishOnly, language }: ServerLanguages): void {
    byId("language-note").hidden = !englishOnly;
    if (remember("surtitle.language") !== null) return;
    const tag = language.split("-")[0] ?? "auto";
    if ([...this.#language.options].some(({ value }) => value === tag)) this.#language.value = tag;
  }

  setBusy(busy: boolean): void {
    this.#button.disabled = busy;
    this.#button.textContent = busy ? "Joining…" : "Join the call";
    if (busy) this.say("");
    if (busy) this.#test.stop();
  }

  say(message: string, kind: "note" | "problem" = "problem"): void {
    this.#message.textContent = message;
    this.#message.dataset["kind"] = kind;
  }

  focus(): void {
    this.#button.focus();
  }

  /** Offers a choice where there is one to make and the browser tells the names. */
  async refreshDevices(): Promise<void> {
    for (const [id, kind] of [["microphone", "audio"], ["camera", "video"]] as const) {
      const select = byId<HTMLSelectElement>(id);
      const named = (await listDevices(kind)).filter(({ label }) => label !== "");
      const chosen = select.value;
      select.replaceChildren(...named.map(({ label, deviceId }) => new Option(label, deviceId)));
      if (named.some(({ deviceId }) => deviceId === chosen)) select.value = chosen;
      select.hidden = named.length < 2 || !byId<HTMLInputElement>(`${id}-enabled`).checked;
    }
    this.#test.setOffered(byId<HTMLInputElement>("microphone-enabled").checked);
  }

  #choice(): JoinChoice {
    const device = (id: string): Choice => ({
      enabled: byId<HTMLInputElement>(`${id}-enabled`).checked,
      deviceId: byId<HTMLSelectElement>(id).value,
    });
    return {
      name: this.#name.value.trim(),
      call: this.#call.value.trim(),
      language: this.#language.value,
      captioned: byId<HTMLInputElement>("join-captioned").checked,
      anonymous: byId<HTMLInputElement>("join-anonymous").checked,
      devices: { audio: device("microphone"), video: device("camera") },
    };
  }
}
