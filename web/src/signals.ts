// What the pages of a call tell each other through `peer:signal`. The server
// relays it unseen, so another page's message is checked like any other input.

import { isRecord } from "@surtitle/client";

export interface Media {
  camera: boolean;
  microphone: boolean;
}

export type SignalBody =
  /** "I can connect": who hears it answers in kind and starts. */
  | { kind: "hello" }
  | { kind: "description"; description: RTCSessionDescriptionInit }
  | { kind: "candidate"; candidate: RTCIceCandidateInit | null }
  /** What is switched on at the sender. */
  | { kind: "media"; media: Media }
  /** The sender is a recording: nothing to connect to. */
  | { kind: "recorded" };

export interface Signal {
  /** Of the sender's connection; a new one means that it started afresh. */
  session: string;
  /** The receiver's session as the sender knows it, null before it knows any. */
  answers: string | null;
  body: SignalBody;
}

/** A random name; unlike `crypto.randomUUID` also there on plain HTTP. */
export function newSession(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function parseSignal(data: unknown): Signal | null {
  if (!isRecord(data)) return null;
  const { session, answers, body } = data;
  if (typeof session !== "string" || !(answers === null || typeof answers === "string")) return null;
  const parsed = parseBody(body);
  return parsed && { session, answers, body: parsed };
}

function parseBody(body: unknown): SignalBody | null {
  if (!isRecord(body)) return null;
  switch (body["kind"]) {
    case "hello":
      return { kind: "hello" };
    case "recorded":
      return { kind: "recorded" };
    case "description":
      return parseDescription(body["description"]);
    case "candidate":
      return parseCandidate(body["candidate"]);
    case "media":
      return parseMedia(body["media"]);
    default:
      return null;
  }
}

function parseDescription(value: unknown): SignalBody | null {
  if (!isRecord(value) || typeof value["sdp"] !== "string") return null;
  const { type, sdp } = value;
  if (type !== "offer" && type !== "answer") return null;
  return { kind: "description", description: { type, sdp } };
}

function parseCandidate(value: unknown): SignalBody | null {
  if (value === null) return { kind: "candidate", candidate: null };
  if (!isRecord(value) || typeof value["candidate"] !== "string") return null;
  return { kind: "candidate", candidate: value as RTCIceCandidateInit };
}

function parseMedia(value: unknown): SignalBody | null {
  if (!isRecord(value)) return null;
  const media = { camera: value["camera"] === true, microphone: value["microphone"] === true };
  return { kind: "media", media };
}
