// One Socket.IO connection to a gateway, and requests on it.

import { io, type Socket } from "socket.io-client";
import { ContractError, unwrap } from "./contract";

const ANSWER_WITHIN_MS = 15_000;
const RETRIES = 3;

/** A JWT, or what fetches one: asked before each connection, so that it may be a fresh one. */
export type Token = string | (() => string | Promise<string>);

/** `server` is the gateway's address; by itself the page's own. */
export function openSocket(server: string | undefined, token: Token | null): Socket {
  const options = {
    path: "/socket.io",
    transports: ["websocket", "polling"],
    tryAllTransports: true,
    auth: (use: (auth: object) => void) => void authOf(token).then(use),
    autoConnect: false,
    forceNew: true,
    reconnectionDelay: 400,
    reconnectionDelayMax: 5_000,
  };
  return server === undefined ? io(options) : io(server, options);
}

async function authOf(token: Token | null): Promise<object> {
  try {
    const value = typeof token === "function" ? await token() : token;
    return value ? { token: value } : {};
  } catch {
    return {}; // the server says what it thinks of that
  }
}

/** Emits and gives the acknowledgement; waits and asks again when told to slow down. */
export async function request<T = unknown>(
  socket: Socket,
  event: string,
  ...payload: unknown[]
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await requestOnce<T>(socket, event, payload);
    } catch (error) {
      const slowDown = error instanceof ContractError && error.code === "rate_limited";
      if (!slowDown || attempt > RETRIES) throw error;
      await pause(error.retryAfterMs ?? 1_000);
    }
  }
}

async function requestOnce<T>(socket: Socket, event: string, payload: unknown[]): Promise<T> {
  // A disconnected socket would keep the event and send it into the next session.
  if (!socket.connected) throw unavailable("There is no connection to the server.");
  let answer: unknown;
  try {
    answer = await socket.timeout(ANSWER_WITHIN_MS).emitWithAck(event, ...payload);
  } catch {
    throw unavailable("The server did not answer in time.");
  }
  return unwrap<T>(answer);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function unavailable(message: string): ContractError {
  return new ContractError({ code: "unavailable", message });
}

/** The server refuses this token: connecting again with it will not help. */
export function isUnauthorized(error: Error & { data?: unknown }): boolean {
  const data = error.data as { code?: unknown } | null | undefined;
  return data?.code === "unauthorized" || /unauthorized/i.test(error.message);
}
