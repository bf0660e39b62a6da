import { describe, expect, it } from "vitest";
import { parseSignal } from "./signals";

const signal = (body: unknown, fields: object = {}): unknown => ({ session: "a", answers: null, body, ...fields });

describe("a signal from another page", () => {
  it.each([
    { kind: "hello" },
    { kind: "recorded" },
    { kind: "description", description: { type: "offer", sdp: "v=0" } },
    { kind: "candidate", candidate: { candidate: "candidate:1", sdpMid: "0" } },
    { kind: "candidate", candidate: null },
    { kind: "media", media: { camera: true, microphone: false } },
  ])("is read: $kind", (body) => {
    expect(parseSignal(signal(body))).toEqual({ session: "a", answers: null, body });
  });

  it.each([
    null,
    "hello",
    [],
    {},
    signal({ kind: "unknown" }),
    signal({ kind: "hello" }, { session: 1 }),
    signal({ kind: "hello" }, { answers: 1 }),
    signal({ kind: "description", description: { type: "rollback", sdp: "" } }),
    signal({ kind: "description", description: { type: "offer" } }),
    signal({ kind: "candidate", candidate: "candidate:1" }),
    signal({ kind: "media", media: null }),
  ])("is dropped where it is malformed: %j", (data) => {
    expect(parseSignal(data)).toBeNull();
  });
});
