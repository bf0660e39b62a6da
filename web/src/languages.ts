// The languages offered in lists, named in the language of the browser.

const OFFERED = [
  "en", "de", "es", "fr", "pt", "it", "nl", "pl", "sv", "da", "no", "fi", "cs", "uk", "ru", "tr",
  "el", "ro", "hu", "ar", "he", "hi", "id", "vi", "ja", "ko", "zh",
];

function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(navigator.languages, { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** Adds every language to a list that has its first choice in the page. */
export function fillLanguages(select: HTMLSelectElement): void {
  const named = OFFERED.map((tag) => [tag, languageName(tag)] as const);
  named.sort(([, a], [, b]) => a.localeCompare(b));
  for (const [tag, name] of named) select.add(new Option(name, tag));
}
