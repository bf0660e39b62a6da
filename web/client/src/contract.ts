// The public contract as this page uses it. Nothing here talks to anything.

export type CallStateName = "live" | "degraded" | "recovering" | "ended";

export interface Caption {
  call: string;
  utterance: string;
  revision: number;
  participant: string;
  speaker: string;
  language: string;
  source_language: string;
  text: string;
  /** Leading characters (code points) that no later revision will change. */
  stable: number;
  final: boolean;
  feed: string;
  /** On finals only: 1, 2, 3 … per call and feed. */
  seq: number | null;
  start_ms: number;
  end_ms: number;
}

export interface Participant {
  id: string;
  name: string;
  language?: string;
  captioned?: boolean;
  publishing?: boolean;
}

export interface CallState {
  state: CallStateName;
  reason?: string;
  captioning?: boolean;
}

export interface ParticipantEvent {
  event: "joined" | "updated" | "left";
  participant: Participant;
}

export interface JoinRequest {
  call: string;
  name?: string;
  language?: string;
  captions_language?: string;
  since?: number;
}

export interface JoinAnswer {
  participant: string | Participant;
  participants: Participant[];
  ice_servers: RTCIceServer[];
  captions: Caption[];
  seq: number;
  state: CallStateName | CallState;
}

export function participantId({ participant }: JoinAnswer): string {
  return typeof participant === "string" ? participant : participant.id;
}

export interface SinceAnswer {
  captions: Caption[];
  seq: number;
}

export interface UpdateRequest {
  name?: string;
  language?: string;
  captions_language?: string;
  captioned?: boolean;
  anonymous?: boolean;
}

export interface PeerSignal {
  from: string;
  data: unknown;
}

export interface ErrorBody {
  code: string;
  message: string;
  retry_after_ms?: number;
}

/** What an acknowledgement with `ok: false` becomes. */
export class ContractError extends Error {
  readonly code: string;
  readonly retryAfterMs: number | undefined;

  constructor(body: ErrorBody) {
    super(body.message);
    this.name = "ContractError";
    this.code = body.code;
    this.retryAfterMs = body.retry_after_ms;
  }
}

/** The fields of an acknowledgement, or the error that it carries. */
export function unwrap<T>(acknowledgement: unknown): T {
  if (!isRecord(acknowledgement)) {
    throw new ContractError({ code: "invalid", message: "The server's answer was empty." });
  }
  if (acknowledgement["ok"] === true) return acknowledgement as T;
  const error = acknowledgement["error"];
  if (isRecord(error) && typeof error["code"] === "string") {
    const retry = error["retry_after_ms"];
    throw new ContractError({
      code: error["code"],
      message: typeof error["message"] === "string" ? error["message"] : error["code"],
      ...(typeof retry === "number" ? { retry_after_ms: retry } : {}),
    });
  }
  throw new ContractError({ code: "unavailable", message: "The server could not do that." });
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const IDENTIFIER = /^[A-Za-z0-9_.:-]{1,128}$/;

export function isIdentifier(text: string): boolean {
  return IDENTIFIER.test(text);
}
