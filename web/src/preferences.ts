// What a viewer chose about captions, kept in this browser.

/** Of the room there is: 0 at the left and bottom, 1 at the right and top. */
export interface Place {
  x: number;
  y: number;
}

export interface Preferences {
  /** Percent of the normal size. */
  size: number;
  lines: number;
  font: "sans" | "serif" | "mono";
  plate: "dark" | "light" | "yellow";
  /** Percent that the plate covers of what is behind it. */
  opacity: number;
  position: "bottom" | "top" | "moved";
  /** Where they were moved to. */
  place: Place;
  partials: boolean;
  announce: boolean;
}

export const DEFAULTS: Preferences = {
  size: 100,
  lines: 2,
  font: "sans",
  plate: "dark",
  opacity: 100,
  position: "bottom",
  place: { x: 0.5, y: 0 },
  partials: true,
  announce: false,
};

const KEY = "surtitle.captions";

export function loadPreferences(): Preferences {
  try {
    const stored: unknown = JSON.parse(remember(KEY) ?? "{}");
    return checked({ ...DEFAULTS, ...(stored as Partial<Preferences>) });
  } catch {
    return DEFAULTS;
  }
}

export function savePreferences(preferences: Preferences): void {
  keep(KEY, JSON.stringify(preferences));
}

/** Stored text, or null; a browser may forbid storage altogether. */
export function remember(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

function checked(value: Preferences): Preferences {
  const oneOf = <T>(options: readonly T[], chosen: T, otherwise: T): T =>
    options.includes(chosen) ? chosen : otherwise;
  return {
    size: oneOf([75, 100, 125, 150, 200], value.size, DEFAULTS.size),
    lines: oneOf([1, 2, 3], value.lines, DEFAULTS.lines),
    font: oneOf(["sans", "serif", "mono"], value.font, DEFAULTS.font),
    plate: oneOf(["dark", "light", "yellow"], value.plate, DEFAULTS.plate),
    opacity: oneOf([100, 75, 50, 25], value.opacity, DEFAULTS.opacity),
    position: oneOf(["bottom", "top", "moved"], value.position, DEFAULTS.position),
    place: { x: inRange(value.place?.x, DEFAULTS.place.x), y: inRange(value.place?.y, DEFAULTS.place.y) },
    partials: value.partials === true,
    announce: value.announce === true,
  };
}

function inRange(value: unknown, otherwise: number): number {
  return typeof value === "number" && value >= 0 && value <= 1 ? value : otherwise;
}
