import { beforeEach, describe, expect, it, vi } from "vitest";
import { Call, type CallEvents } from "./call";
import type { Caption } from "./contract";
import { caption } from "./testing";

type Handler = (payload?: unknown) => void;

/** A server of one call, as far as this module sees it. */
const server = vi.hoisted(() => ({
  handlers: new Map<string, (payload?: unknown) => void>(),
  finals: [] as unknown[],
  requests: [] as [string, unknown][],
}));

vi.mock("./socket", () => ({
  isUnauthorized: () => false,
  pause: () => Promise.resolve(),
  openSocket: () => ({
    connected: true,
    on: (event: string, handler: Handler) => server.handlers.set(event, handler),
    disconnect: () => undefined,
  }),
  request: async (_socket: unknown, event: string, payload: { since: number }) => {
    server.requests.push([event, payload]);
    const finals = server.finals as Caption[];
    const answer = { captions: finals.filter(({ seq }) => seq! > payload?.since).slice(0, 3), seq: finals.length };
    if (event === "captions:since") return answer;
    return { ...answer, participant: "p-me", participants: [], ice_servers: [], state: "live" };
  },
}));

const final = (seq: number): Caption => caption({ utterance: `u-${seq}`, final: true, seq });
const emit = (event: string, payload?: unknown): void => server.handlers.get(event)!(payload);
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
const sinces = (event: string): unknown[] =>
  server.requests.filter(([name]) => name === event).map(([, payload]) => (payload as { since: number }).since);

describe("a call", () => {
  let seen: number[] = [];
  const events = new Proxy({} as CallEvents, {
    get: (_target, name) =>
      name === "captions"
        ? (captions: { finals: Caption[] }) => (seen = captions.finals.map(({ seq }) => seq!))
        : () => undefined,
  });

  beforeEach(() => {
    server.handlers.clear();
    server.finals = [1, 2, 3, 4, 5].map(final);
    server.requests = [];
    seen = [];
  });

  it("takes every page of what was said before", async () => {
    new Call({ call: "c" }, null, events);
    emit("connect");
    await settle();
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(sinces("captions:since")).toEqual([3]);
  });

  it("joins again from the last final that is here", async () => {
    new Call({ call: "c" }, null, events);
    emit("connect");
    await settle();
    server.finals = [1, 2, 3, 4, 5, 6, 7].map(final);
    emit("disconnect", "transport close");
    emit("connect");
    await settle();
    expect(sinces("call:join")).toEqual([0, 5]);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("asks for a final that it missed", async () => {
    new Call({ call: "c" }, null, events);
    emit("connect");
    await settle();
    server.finals = [1, 2, 3, 4, 5, 6, 7].map(final);
    server.requests = [];
    emit("caption", final(7));
    await settle();
    expect(sinces("captions:since")).toEqual([5]);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("tells its settings again after a reconnect", async () => {
    const call = new Call({ call: "c" }, null, events);
    emit("connect");
    await settle();
    await call.update({ captioned: false });
    server.requests = [];
    emit("connect");
    await settle();
    expect(server.requests.map(([event]) => event)).toEqual(["call:join", "call:update"]);
  });
});
