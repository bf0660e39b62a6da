// Which caption is true: a pure reducer over what the network brings, in any
// order and any number of times. It keeps the highest revision of each key, the
// finals in the order of their `seq`, and knows when a final was missed.

import type { Caption } from "./contract";

export interface Captions {
  readonly feed: string;
  /** Utterances that are still being spoken, by key. */
  readonly open: ReadonlyMap<string, Caption>;
  /** By `seq`, ascending. */
  readonly finals: readonly Caption[];
  readonly finalKeys: ReadonlySet<string>;
  /** Every final up to this `seq` is here, or the server no longer has it. */
  readonly settled: number;
}

export function noCaptions(feed: string): Captions {
  return { feed, open: new Map(), finals: [], finalKeys: new Set(), settled: 0 };
}

export function captionKey(caption: Caption): string {
  return `${caption.call}\n${caption.utterance}\n${caption.language}`;
}

/** The same object comes back where the captions change nothing. */
export function receive(captions: Captions, arrived: readonly Caption[]): Captions {
  const open = new Map(captions.open);
  const added = new Map<string, Caption>();
  let changed = false;
  for (const caption of arrived) {
    const key = captionKey(caption);
    const done = captions.finalKeys.has(key) || added.has(key);
    if (done || caption.feed !== captions.feed) continue;
    const known = open.get(key);
    if (known && caption.revision <= known.revision) continue;
    changed = true;
    if (caption.final) {
      open.delete(key);
      added.set(key, caption);
    } else {
      open.set(key, caption);
    }
  }
  if (!changed) return captions;
  if (added.size === 0) return { ...captions, open };
  const finals = [...captions.finals, ...added.values()].sort((a, b) => seqOf(a) - seqOf(b));
  return {
    feed: captions.feed,
    open,
    finals,
    finalKeys: new Set([...captions.finalKeys, ...added.keys()]),
    settled: endOfRun(finals, captions.settled),
  };
}

/** Finals in the order of their `seq`, then what is being said in the order of its beginning. */
export function inReadingOrder({ finals, open }: Captions): Caption[] {
  return [...finals, ...[...open.values()].sort((a, b) => a.start_ms - b.start_ms)];
}

/**
 * The server's answer to "finals since": what it left out below its last one no
 * longer exists. `seq` is the newest there is, so an answer may be one page of more.
 */
export function receiveAnswer(captions: Captions, answer: readonly Caption[], seq: number): Captions {
  const next = receive(captions, answer);
  const complete = answer.length > 0 ? answer.reduce((most, caption) => Math.max(most, seqOf(caption)), 0) : seq;
  const settled = endOfRun(next.finals, Math.max(next.settled, complete));
  return settled === next.settled ? next : { ...next, settled };
}

/** True where a final is missing below one that is here. */
export function hasHole(captions: Captions): boolean {
  const newest = captions.finals.at(-1);
  return newest !== undefined && seqOf(newest) > captions.settled;
}

function seqOf(caption: Caption): number {
  return caption.seq ?? 0;
}

/** The last `seq` of the run without holes that starts at `settled`. */
function endOfRun(finals: readonly Caption[], settled: number): number {
  let first = finals.length;
  while (first > 0 && seqOf(finals[first - 1]!) > settled) first -= 1;
  let end = settled;
  for (const final of finals.slice(first)) {
    if (seqOf(final) !== end + 1) break;
    end += 1;
  }
  return end;
}
