import { beforeEach, describe, expect, it, vi } from "vitest";
import { Call } from "./call";
import { ContractError, type Caption } from "./contract";
import { caption } from "./testing";

type Handler = (payload?: unknown) => void;

/** A server of one call, as far as this module sees it. */
const server = vi.hoisted(() => ({
  handlers: new Map<string, (payload?: unknown) => void>(),
  finals: [] as unknown[],
  requests: [] as [string, unknown][],
  connects: 0,
  active: true,
  refusal: null as Error | null,
  onUpdate: (): void => undefined,
}));

vi.mock("./socket", () => ({
  isUnauthorized: (error: Error) => error.message === "unauthorized",
  pause: () => Promise.resolve(),
  openSocket: () => ({
    connected: true,
    get active() {
      return server.active;
    },
    on: (event: string, handler: Handler) => server.handlers.set(event, handler),
    connect: () => (server.connects += 1),
    disconnect: () => undefined,
  }),
  request: async (_socket: unknown, event: string, payload: { since: number }) => {
    server.requests.push([event, payload]);
    if (server.refusal) throw server.refusal;
    const finals = server.finals as Caption[];
    const answer = { captions: finals.filter(({ seq }) => seq! > payload?.since).slice(0, 3), seq: finals.length };
    if (event === "call:update") server.onUpdate();
    if (event === "captions:since") return answer;
    if (event === "call:watch") return { ...answer, state: "live", captioning: false };
    return { ...answer, participant: "p-me", participants: [], ice_servers: [], state: "live", captioning: false };
  },
}));

const final = (seq: number): Caption => caption({ utterance: `u-${seq}`, final: true, seq });
const emit = (event: string, payload?: unknown): void => server.handlers.get(event)!(payload);
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
const seen = (call: Call): number[] => call.captions.finals.map(({ seq }) => seq!);
const sinces = (event: string): unknown[] =>
  server.requests.filter(([name]) => name === event).map(([, payload]) => (payload as { since: number }).since);

async function joined(): Promise<Call> {
  const call = new Call({ call: "c" });
  const entered = call.join({ name: "Anna" });
  emit("connect");
  await entered;
  await settle();
  return call;
}

beforeEach(() => {
  server.handlers.clear();
  server.finals = [1, 2, 3, 4, 5].map(final);
  server.requests = [];
  server.connects = 0;
  server.active = true;
  server.refusal = null;
  server.onUpdate = () => undefined;
});

describe("a call", () => {
  it("takes every page of what was said before", async () => {
    expect(seen(await joined())).toEqual([1, 2, 3, 4, 5]);
    expect(sinces("captions:since")).toEqual([3]);
  });

  it("joins again from the last final that is here", async () => {
    const call = await joined();
    server.finals = [1, 2, 3, 4, 5, 6, 7].map(final);
    emit("disconnect", "transport close");
    expect(call.connection).toBe("reconnecting");
    emit("connect");
    await settle();
    expect(sinces("call:join")).toEqual([0, 5]);
    expect(seen(call)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("asks for a final that it missed", async () => {
    const call = await joined();
    server.finals = [1, 2, 3, 4, 5, 6, 7].map(final);
    server.requests = [];
    emit("caption", final(7));
    await settle();
    expect(sinces("captions:since")).toEqual([5]);
    expect(seen(call)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("tells its settings again after a reconnect", async () => {
    const call = await joined();
    await call.update({ captioned: false });
    server.requests = [];
    emit("connect");
    await settle();
    expect(server.requests.map(([event]) => event)).toEqual(["call:join", "call:update"]);
  });

  it("is told what somebody does not want before they are in it", async () => {
    const call = new Call({ call: "c" });
    const before: string[] = [];
    call.on("connected", () => before.push(...server.requests.map(([event]) => event)));
    const entered = call.join({ name: "Anna", captioned: false, anonymous: true });
    emit("connect");
    await entered;
    expect(before).toEqual(["call:join", "call:update"]);
    expect(server.requests[1]![1]).toEqual({ captioned: false, anonymous: true });
  });

  it("has the newest state and roster, also where they are told before it is entered", async () => {
    const call = new Call({ call: "c" });
    const anna = { id: "p-me", name: "Anonymous", language: "en", captioned: true, publishing: false };
    server.onUpdate = () => {
      emit("call:state", { state: "degraded", captioning: true });
      emit("call:participant", { event: "updated", participant: anna });
    };
    const entered = call.join({ anonymous: true });
    emit("connect");
    await entered;
    expect(call.state?.state).toBe("degraded");
    expect(call.participants.get("p-me")).toEqual(anna);
  });

  it("does not enter twice where the connection is lost while it waits", async () => {
    const call = new Call({ call: "c" });
    const entered = call.watch();
    server.refusal = new ContractError({ code: "overloaded", message: "Full.", retry_after_ms: 5 });
    emit("connect");
    await Promise.resolve();
    server.refusal = null;
    emit("disconnect", "transport close");
    emit("connect");
    await entered;
    await settle();
    expect(sinces("call:watch")).toHaveLength(2);
  });

  it("reads another feed from its beginning, and joins again with it", async () => {
    const call = await joined();
    server.requests = [];
    await call.update({ captions_language: "de" });
    expect(sinces("captions:since")[0]).toBe(0);
    emit("connect");
    await settle();
    expect(server.requests.findLast(([event]) => event === "call:join")![1]).toMatchObject({
      captions_language: "de",
      name: "Anna",
    });
  });

  it("is only watched where somebody watches", async () => {
    const call = new Call({ call: "c", captionsLanguage: "de" });
    const entered = call.watch();
    emit("connect");
    await entered;
    expect(server.requests[0]).toEqual(["call:watch", { call: "c", captions_language: "de", since: 0 }]);
    expect(call.self).toBeNull();
  });

  it("that refuses is closed, and says why", async () => {
    const call = new Call({ call: "c" });
    const entered = call.watch();
    server.refusal = new ContractError({ code: "forbidden", message: "not yours" });
    emit("connect");
    await expect(entered).rejects.toThrow("not yours");
    expect(call.connection).toBe("closed");
  });

  it("is entered again later where the server asks for patience", async () => {
    const call = new Call({ call: "c" });
    const waited: string[] = [];
    call.on("waiting", (message) => {
      waited.push(message);
      server.refusal = null;
    });
    const entered = call.watch();
    server.refusal = new ContractError({ code: "overloaded", message: "Full.", retry_after_ms: 5 });
    emit("connect");
    await entered;
    expect(waited).toEqual(["Full. Trying again…"]);
  });
});

describe("a token", () => {
  it("that ran out is fetched once more", async () => {
    const call = new Call({ call: "c", token: () => "fresh" });
    const entered = call.watch();
    emit("connect_error", new Error("unauthorized"));
    await settle();
    expect(server.connects).toBe(2);
    emit("connect");
    await entered;
    emit("connect_error", new Error("unauthorized"));
    await settle();
    expect(server.connects).toBe(3);
    emit("connect_error", new Error("unauthorized"));
    expect(call.connection).toBe("closed");
  });

  it("that cannot be told good or bad just now is shown again later", async () => {
    const call = new Call({ call: "c", token: "good" });
    const entered = call.watch();
    server.active = false; // the server's own refusal: Socket.IO does not connect again by itself
    emit("connect_error", new Error("unavailable"));
    await settle();
    expect(server.connects).toBe(2);
    emit("connect");
    await entered;
  });

  it("that runs out while connected is followed by a fresh one", async () => {
    const call = new Call({ call: "c", token: () => "fresh" });
    const entered = call.watch();
    emit("connect");
    await entered;
    emit("token:expiring", { expired: false, closes_in_ms: 90_000 });
    await settle();
    expect(server.requests.at(-1)).toEqual(["token:refresh", { token: "fresh" }]);
  });

  it("that is what it is is not sent again", async () => {
    const call = new Call({ call: "c", token: "old" });
    const entered = call.watch();
    emit("connect");
    await entered;
    emit("token:expiring", { expired: false, closes_in_ms: 90_000 });
    await settle();
    expect(server.requests.map(([event]) => event)).not.toContain("token:refresh");
  });

  it("that is what it is is refused for good", async () => {
    const call = new Call({ call: "c", token: "old" });
    const entered = call.watch();
    emit("connect_error", new Error("unauthorized"));
    await expect(entered).rejects.toThrow("unauthorized");
  });
});
