import { describe, expect, it } from "vitest";
import { hasHole, noCaptions, receive, receiveAnswer } from "./captions";
import type { Caption } from "./contract";
import { caption } from "./testing";


const final = (seq: number, fields: Partial<Caption> = {}): Caption =>
  caption({ utterance: `u-${seq}`, revision: 9, final: true, seq, ...fields });

describe("revisions", () => {
  it("keeps the highest, whatever the order", () => {
    const late = caption({ revision: 2, text: "ask not" });
    const state = receive(noCaptions("spoken"), [caption({ revision: 3, text: "ask not what" }), late]);
    expect([...state.open.values()].map(({ text }) => text)).toEqual(["ask not what"]);
    expect(receive(state, [late])).toBe(state);
  });

  it("never changes a final", () => {
    const state = receive(noCaptions("spoken"), [final(1, { text: "ask not" })]);
    expect(receive(state, [final(1, { revision: 99, text: "changed" })])).toBe(state);
    expect(receive(state, [caption({ utterance: "u-1", revision: 100 })])).toBe(state);
    expect(state.open.size).toBe(0);
  });

  it("takes the same utterance in two languages for two captions", () => {
    const state = receive(noCaptions("spoken"), [caption({}), caption({ language: "de" })]);
    expect(state.open.size).toBe(2);
  });

  it("leaves other feeds alone", () => {
    const state = noCaptions("spoken");
    expect(receive(state, [final(1, { feed: "de" })])).toBe(state);
  });
});

describe("finals", () => {
  it("stand in the order of seq, each once", () => {
    const state = receive(noCaptions("spoken"), [final(3), final(1), final(2), final(1)]);
    expect(state.finals.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(state.settled).toBe(3);
  });

  it("show a hole until it is filled", () => {
    let state = receive(noCaptions("spoken"), [final(1), final(3)]);
    expect(hasHole(state)).toBe(true);
    expect(state.settled).toBe(1);
    state = receive(state, [final(2)]);
    expect(hasHole(state)).toBe(false);
    expect(state.settled).toBe(3);
  });

  it("accept that the server no longer has some", () => {
    const state = receiveAnswer(receive(noCaptions("spoken"), [final(5)]), [final(4)], 5);
    expect(state.settled).toBe(5);
    expect(receiveAnswer(noCaptions("spoken"), [], 7).settled).toBe(7);
  });

  it("know when an answer is a page of more", () => {
    const state = receiveAnswer(noCaptions("spoken"), [final(1), final(2)], 9);
    expect(state.settled).toBe(2);
  });

  it("are quick to take, a day's worth at once", () => {
    const many = Array.from({ length: 20_000 }, (_, index) => final(index + 1));
    const began = performance.now();
    expect(receiveAnswer(noCaptions("spoken"), many, 20_000).settled).toBe(20_000);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
