// `<surtitle-captions call="…" token="…">`: the captions of a call in any page, without a
// framework. Attributes are the viewer's choices; a property `token` may be a function.

import { Call } from "./call";
import { ContractError, type CallState, type Caption } from "./contract";
import type { Captions } from "./captions";
import { create } from "./dom";
import { Overlay } from "./overlay";
import type { Token } from "./socket";
import captionsCss from "./captions.css?inline";
import elementCss from "./element.css?inline";

const LARGEST_SCALE = 2;
const MOST_LINES = 3;

/**
 * Attributes: `call`, `token`, `server` (the gateway's address), `language` (the feed, by itself
 * `spoken`), `lines` (1 to 3), `scale` (0.75 to 2), `font` (`sans`, `serif`, `mono`), `plate`
 * (`dark`, `light`, `yellow`: its letters), `opacity` (of the plate, 0 to 1), `partials` (`off` shows
 * finals only), `announce` (finals for screen readers).
 *
 * Events: `caption` (detail: the Caption), `state` (detail: the CallState), `refused` (detail: the
 * error). They do not bubble.
 */
export class SurtitleCaptions extends HTMLElement {
  static readonly observedAttributes = [
    ...["call", "token", "server", "language"],
    ...["lines", "scale", "font", "plate", "opacity", "partials"],
  ];
  /** Where an element without `server` connects; undefined: the page's own origin. */
  static server: string | undefined;

  readonly #region = create("div", {
    class: "region",
    part: "region",
    role: "region",
    "aria-label": "Live captions",
    "aria-live": "off",
  });
  readonly #note = create("p", { class: "note", part: "note", role: "status" });
  readonly #log = create("div", { class: "log", role: "log", "aria-live": "polite" });
  readonly #overlay: Overlay;
  #call: Call | null = null;
  #listening: (() => void)[] = [];
  #token: Token | null = null;
  #entering = false;

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: "open" });
    shadow.append(create("style", {}, captionsCss + elementCss), this.#region, this.#note, this.#log);
    this.#overlay = new Overlay(this.#region);
  }

  /** A JWT, or a function that fetches one. Goes before the attribute. */
  get token(): Token | null {
    return this.#token ?? this.getAttribute("token");
  }

  set token(token: Token | null) {
    this.#token = token;
    this.#enterSoon();
  }

  connectedCallback(): void {
    this.#read();
    this.#enterSoon();
  }

  disconnectedCallback(): void {
    this.#leave();
  }

  attributeChangedCallback(name: string): void {
    if (!this.isConnected) return;
    if (name === "language") void this.#readIn(this.getAttribute("language") ?? "spoken");
    else if (["call", "token", "server"].includes(name)) this.#enterSoon();
    else this.#read();
  }

  /** Once, however many attributes are set together. */
  #enterSoon(): void {
    if (this.#entering) return;
    this.#entering = true;
    queueMicrotask(() => {
      this.#entering = false;
      this.#leave();
      if (this.isConnected) this.#enter();
    });
  }

  #enter(): void {
    const id = this.getAttribute("call");
    if (!id) return this.#say("No call is named.");
    const call = new Call({
      call: id,
      server: this.getAttribute("server") ?? SurtitleCaptions.server,
      token: this.token,
      captionsLanguage: this.getAttribute("language") ?? "spoken",
    });
    this.#call = call;
    this.#say("Connecting…");
    this.#listening = [
      call.on("captions", (captions, live) => this.#show(captions, live)),
      call.on("state", (state) => this.#tell(state)),
      call.on("disconnected", () => this.#say("Connection lost. Reconnecting…")),
      call.on("waiting", (message) => this.#say(message)),
      call.on("closed", (error) => error && this.#refuse(error)),
    ];
    call.watch().catch(() => undefined); // `closed` tells
  }

  #leave(): void {
    const call = this.#call;
    this.#call = null;
    for (const off of this.#listening) off();
    void call?.leave();
    this.#overlay.clear();
    this.#log.replaceChildren();
  }

  #show(captions: Captions, live: Caption | null): void {
    if (!live) return this.#overlay.reconcile(captions);
    this.#overlay.show(live);
    if (live.final && this.hasAttribute("announce")) this.#announce(live);
    this.dispatchEvent(new CustomEvent("caption", { detail: live }));
  }

  #announce(caption: Caption): void {
    const words = `${caption.speaker}: ${caption.text}`;
    this.#log.replaceChildren(create("p", { lang: caption.language }, words));
  }

  #tell(state: CallState): void {
    this.#say(explain(state));
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  #refuse(error: Error): void {
    const code = error instanceof ContractError ? error.code : "unauthorized";
    const token = "The token for these captions is missing, not meant for them, or has run out.";
    this.#say(code === "unauthorized" || code === "forbidden" ? token : error.message);
    this.dispatchEvent(new CustomEvent("refused", { detail: error }));
  }

  async #readIn(language: string): Promise<void> {
    this.#overlay.clear();
    const call = this.#call;
    if (call?.connection !== "connected") return this.#enterSoon();
    await call.update({ captions_language: language }).catch((error: Error) => this.#say(error.message));
  }

  #read(): void {
    const lines = Number(this.getAttribute("lines") ?? 2);
    const scale = Number(this.getAttribute("scale") ?? 1);
    const opacity = Number(this.getAttribute("opacity") ?? 1);
    this.#region.dataset["captionFont"] = this.getAttribute("font") ?? "sans";
    this.#region.dataset["captionPlate"] = this.getAttribute("plate") ?? "dark";
    this.#region.style.setProperty("--caption-scale", String(between(0.75, scale, LARGEST_SCALE)));
    this.#region.style.setProperty("--plate-opacity", `${100 * between(0, opacity, 1)}%`);
    this.#overlay.setPreferences({
      lines: Math.round(between(1, lines, MOST_LINES)),
      partials: this.getAttribute("partials") !== "off",
    });
  }

  #say(words: string): void {
    this.#note.textContent = words;
    this.#note.hidden = words === "";
  }
}

function explain({ state, captioning }: CallState): string {
  switch (state) {
    case "degraded":
      return "The server is under load: captions come later than usual.";
    case "recovering":
      return "Captioning was interrupted and is being restored.";
    case "ended":
      return "Captioning of this call has ended.";
    default:
      return captioning === false ? "Nobody is captioned just now." : "";
  }
}

/** The nearest number in a range; its lower end for what is no number. */
function between(least: number, value: number, most: number): number {
  return value >= least ? Math.min(value, most) : least;
}

if (!customElements.get("surtitle-captions")) {
  customElements.define("surtitle-captions", SurtitleCaptions);
}

declare global {
  interface HTMLElementTagNameMap {
    "surtitle-captions": SurtitleCaptions;
  }
}
