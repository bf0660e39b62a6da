// The languages offered in lists, named in the language of the browser, and what the server says
// of those it knows.

const OFFERED = [
  "en", "de", "es", "fr", "pt", "it", "nl", "pl", "sv", "da", "no", "fi", "cs", "uk", "ru", "tr",
  "el", "ro", "hu", "ar", "he", "hi", "id", "vi", "ja", "ko", "zh",
];

export interface ServerLanguages {
  /** The model understands no other language. */
  english_only: boolean;
  /** Of who does not say what they speak; `auto` detects it. */
  language: string;
  /** What captions are translated into. */
  captions: string[];
}

/** Without an answer nothing is promised. */
export async function serverLanguages(): Promise<ServerLanguages> {
  try {
    const response = await fetch("/api/languages");
    if (response.ok) return (await response.json()) as ServerLanguages;
  } catch {
    // A server that is away says so when the call is joined.
  }
  return { english_only: false, language: "auto", captions: [] };
}

function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(navigator.languages, { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** Adds languages to a list that has its first choice in the page. */
export function fillLanguages(select: HTMLSelectElement, tags: readonly string[] = OFFERED): void {
  const named = tags.map((tag) => [tag, languageName(tag)] as const);
  named.sort(([, a], [, b]) => a.localeCompare(b));
  for (const [tag, name] of named) select.add(new Option(name, tag));
}
