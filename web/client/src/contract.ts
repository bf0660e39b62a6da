// The public contract: its types, its errors, its names. Nothing here talks to anything.

import type { ErrorBody, ErrorCode } from "./wire";

export type * from "./wire";

/** What an acknowledgement with `ok: false` becomes. */
export class ContractError extends Error {
  readonly code: ErrorCode;
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
    throw new ContractError(error as unknown as ErrorBody);
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
