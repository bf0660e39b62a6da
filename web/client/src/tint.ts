// A calm color of their own for each person. It only supports the name, it never replaces it.

const TINTS = 8;
const tints = new Map<string, string>();

/** One of the tints in captions.css, in turn, so that few people share one. */
export function tint(participant: string): string {
  const known = tints.get(participant);
  if (known !== undefined) return known;
  const next = String(tints.size % TINTS);
  tints.set(participant, next);
  return next;
}
