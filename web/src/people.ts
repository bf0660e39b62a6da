// How a person is shown where there is no picture: initials and a calm colour
// of their own. The colour only supports the name, it never replaces it.

const TINTS = 8;
const tints = new Map<string, string>();

export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const first = [...(words[0] ?? "?")][0] ?? "?";
  const last = words.length > 1 ? ([...words.at(-1)!][0] ?? "") : "";
  return (first + last).toLocaleUpperCase();
}

/** One of the tints in tokens.css, in turn, so that few people share one. */
export function tint(participant: string): string {
  const known = tints.get(participant);
  if (known !== undefined) return known;
  const next = String(tints.size % TINTS);
  tints.set(participant, next);
  return next;
}
