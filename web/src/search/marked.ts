// Where the words of a query are in a text; pure.

import { folded } from "../folded";

export interface Part {
  text: string;
  hit: boolean;
}

/** The text in parts; together they are the text. Case and accents do not matter. */
export function marked(text: string, query: string): Part[] {
  const words = query.split(/\s+/u).map(folded).filter(Boolean);
  const parts: Part[] = [];
  for (const piece of text.match(/[\p{L}\p{M}\p{N}'’]+|[^\p{L}\p{M}\p{N}'’]+/gu) ?? []) {
    const hit = words.some((word) => folded(piece).startsWith(word));
    const last = parts.at(-1);
    if (last && last.hit === hit) last.text += piece;
    else parts.push({ text: piece, hit });
  }
  return parts;
}
