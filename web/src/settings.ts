// The dialog with a viewer's choices about captions; they take effect at once.

import { byId } from "./dom";
import { fillLanguages } from "./languages";
import { keep, loadPreferences, remember, savePreferences, type Place, type Preferences } from "./preferences";

export interface SettingsEvents {
  preferences(preferences: Preferences): void;
  /** These three are the server's to accept; `false` puts the old choice back. */
  captionsLanguage(feed: string): Promise<boolean>;
  spokenLanguage(language: string): Promise<boolean>;
  anonymous(hidden: boolean): Promise<boolean>;
}

const CHOICES = ["size", "lines", "font", "plate", "opacity", "position"] as const;
const READING = "surtitle.reading";
const SWITCHES = ["partials", "announce"] as const;

export class Settings {
  readonly #dialog = byId<HTMLDialogElement>("settings");
  readonly #captionsLanguage = byId<HTMLSelectElement>("captions-language");
  readonly #spokenLanguage = byId<HTMLSelectElement>("spoken-language");
  readonly #anonymous = byId<HTMLInputElement>("anonymous");
  readonly #events: SettingsEvents;
  #preferences = loadPreferences();

  constructor(events: SettingsEvents) {
    this.#events = events;
    fillLanguages(this.#spokenLanguage);
    byId("settings-button").addEventListener("click", () => this.#dialog.showModal());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#show();
    for (const name of [...CHOICES, ...SWITCHES]) {
      byId(`pref-${name}`).addEventListener("change", () => this.#read());
    }
    this.#ask(this.#captionsLanguage, async (feed) => {
      const accepted = await events.captionsLanguage(feed);
      if (accepted) keep(READING, feed);
      return accepted;
    });
    this.#ask(this.#spokenLanguage, (language) => events.spokenLanguage(language));
    this.#anonymous.addEventListener("change", () => {
      const wanted = this.#anonymous.checked;
      void events.anonymous(wanted).then((accepted) => {
        if (!accepted) this.#anonymous.checked = !wanted;
      });
    });
    this.#apply();
  }

  /** The language that captions are read in: `spoken`, or a tag. */
  get feed(): string {
    return remember(READING) ?? "spoken";
  }

  /** The choice is there where the server translates, and where one was made before. */
  offerLanguages(tags: readonly string[]): void {
    const offered = new Set(this.feed === "spoken" ? tags : [...tags, this.feed]);
    fillLanguages(this.#captionsLanguage, [...offered]);
    this.#captionsLanguage.value = this.feed;
    this.#captionsLanguage.parentElement!.hidden = offered.size === 0;
  }

  get preferences(): Preferences {
    return this.#preferences;
  }

  /** Where the captions stand. */
  get place(): Place {
    const { position, place } = this.#preferences;
    return position === "moved" ? place : { x: 0.5, y: position === "top" ? 1 : 0 };
  }

  /** For a new call: nothing of the last one is still set. */
  reset(spokenLanguage: string, anonymous: boolean): void {
    this.#spokenLanguage.value = spokenLanguage;
    this.#anonymous.checked = anonymous;
  }

  close(): void {
    this.#dialog.close();
  }

  /** The viewer moved the captions themselves. */
  move(place: Place): void {
    this.#keep({ ...this.#preferences, position: "moved", place });
    this.#show();
  }

  #show(): void {
    for (const name of CHOICES) byId<HTMLSelectElement>(`pref-${name}`).value = String(this.#preferences[name]);
    for (const name of SWITCHES) byId<HTMLInputElement>(`pref-${name}`).checked = this.#preferences[name];
  }

  #ask(select: HTMLSelectElement, change: (value: string) => Promise<boolean>): void {
    let before = select.value;
    select.addEventListener("focus", () => (before = select.value));
    select.addEventListener("change", () => {
      const wanted = select.value;
      void change(wanted).then((accepted) => {
        if (accepted) before = wanted;
        else select.value = before;
      });
    });
  }

  #read(): void {
    const chosen = (name: (typeof CHOICES)[number]): string => byId<HTMLSelectElement>(`pref-${name}`).value;
    this.#keep({
      size: Number(chosen("size")),
      lines: Number(chosen("lines")),
      font: chosen("font") as Preferences["font"],
      plate: chosen("plate") as Preferences["plate"],
      opacity: Number(chosen("opacity")),
      position: chosen("position") as Preferences["position"],
      place: this.#preferences.place,
      partials: byId<HTMLInputElement>("pref-partials").checked,
      announce: byId<HTMLInputElement>("pref-announce").checked,
    });
  }

  #keep(preferences: Preferences): void {
    this.#preferences = preferences;
    savePreferences(preferences);
    this.#apply();
  }

  /** Looks are the style sheet's business: it reads them from the root element. */
  #apply(): void {
    const root = document.documentElement;
    root.style.setProperty("--caption-scale", String(this.#preferences.size / 100));
    root.style.setProperty("--plate-opacity", `${this.#preferences.opacity}%`);
    root.style.setProperty("--caption-x", String(this.#preferences.place.x));
    root.style.setProperty("--caption-y", String(this.#preferences.place.y));
    root.dataset["captionEdge"] = this.#preferences.place.y > 0.5 ? "top" : "bottom";
    root.dataset["captionFont"] = this.#preferences.font;
    root.dataset["captionPlate"] = this.#preferences.plate;
    root.dataset["captionPosition"] = this.#preferences.position;
    this.#events.preferences(this.#preferences);
  }
}
