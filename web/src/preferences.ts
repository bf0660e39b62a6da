// What a viewer chose about captions, kept in this browser.

export interface Preferences {
  /** Percent of the normal size. */
  size: number;
  lines: number;
  font: "sans" | "serif" | "mono";
  plate: "dark" | "light";
  position: "bottom" | "top";
  partials: boolean;
  announce: boolean;
}

export const DEFAULTS: Preferences = {
  size: 100,
  lines: 2,
  font: "sans",
  plate: "dark",
  position: "bottom",
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
    plate: oneOf(["dark", "light"], value.plate, DEFAULTS.plate),
    position: oneOf(["bottom", "top"], value.position, DEFAULTS.position),
    partials: value.partials === true,
    announce: value.announce === true,
  };
}
