// Whatever the network does to captions, the same is true in the end.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { captionKey, hasHole, inReadingOrder, noCaptions, receive, receiveAnswer, type Captions } from "./captions";
import type { Caption } from "./contract";
import { caption } from "./testing";

/** What a server published of a call, in order: partials of each utterance, and most finals. */
const published = fc
  .array(fc.record({ partials: fc.integer({ min: 0, max: 4 }), ends: fc.boolean() }), { maxLength: 12 })
  .map((utterances) => {
    let seq = 0;
    return utterances.flatMap(({ partials, ends }, index) => {
      const revisions = Array.from({ length: partials + 1 }, (_, revision) =>
        caption({ utterance: `u-${index}`, revision: revision + 1, text: `words ${index}.${revision}`, start_ms: index }),
      );
      const last = revisions.pop()!;
      if (!ends) return partials > 0 ? revisions : [last];
      seq += 1;
      return [...revisions, { ...last, final: true, seq }];
    });
  });

/** Some of it lost, some of it twice, in any order. */
const arrived = published.chain((all) =>
  fc.record({
    all: fc.constant(all),
    heard: fc.array(fc.nat({ max: Math.max(0, all.length - 1) }), { maxLength: 2 * all.length })
      .map((chosen) => chosen.flatMap((index) => all[index] ?? [])),
  }),
);

const finalsOf = (all: readonly Caption[]): Caption[] => all.filter(({ final }) => final);

function oneByOne(captions: Captions, heard: readonly Caption[]): Captions {
  return heard.reduce((state, one) => receive(state, [one]), captions);
}

describe("whatever is lost, doubled or out of order", () => {
  it("the highest revision of each key is shown, and a final for good", () => {
    fc.assert(
      fc.property(arrived, ({ heard }) => {
        const state = oneByOne(noCaptions("spoken"), heard);
        const highest = new Map<string, Caption>();
        for (const one of heard) {
          const known = highest.get(captionKey(one));
          if (!known || one.revision > known.revision) highest.set(captionKey(one), one);
        }
        const shown = new Map(inReadingOrder(state).map((one) => [captionKey(one), one]));
        expect(shown).toEqual(highest);
        expect(inReadingOrder(state)).toHaveLength(highest.size);
      }),
    );
  });

  it("it does not matter whether captions come one by one or together", () => {
    fc.assert(
      fc.property(arrived, ({ heard }) => {
        const together = receive(noCaptions("spoken"), heard);
        const alone = oneByOne(noCaptions("spoken"), heard);
        expect(together.finals).toEqual(alone.finals);
        expect(together.settled).toBe(alone.settled);
        expect([...together.open.values()].sort(byKey)).toEqual([...alone.open.values()].sort(byKey));
      }),
    );
  });

  it("a hole is known, and an answer of what is behind `settled` fills all", () => {
    fc.assert(
      fc.property(arrived, fc.integer({ min: 1, max: 4 }), ({ all, heard }, page) => {
        const finals = finalsOf(all);
        let state = oneByOne(noCaptions("spoken"), heard);
        const numbers = state.finals.map(({ seq }) => seq!);
        const complete = numbers.every((seq, index) => seq === index + 1);
        expect(hasHole(state)).toBe(!complete);
        while (state.settled < finals.length) {
          const before = state.settled;
          state = receiveAnswer(state, finals.slice(before, before + page), finals.length);
          expect(state.settled).toBeGreaterThan(before);
        }
        expect(state.finals).toEqual(finals);
        expect(hasHole(state)).toBe(false);
      }),
    );
  });

  it("a second hearing of everything changes nothing", () => {
    fc.assert(
      fc.property(arrived, ({ heard }) => {
        const state = oneByOne(noCaptions("spoken"), heard);
        expect(oneByOne(state, heard)).toBe(state);
      }),
    );
  });
});

function byKey(a: Caption, b: Caption): number {
  return captionKey(a) < captionKey(b) ? -1 : 1;
}
