// The HTTP of the contract that past calls need.

import type { Caption } from "@surtitle/client";

export interface PastCall {
  call: string;
  started_at: string;
  ended_at: string | null;
}

export interface Query {
  text: string;
  call: string;
  participant: string;
  /** Milliseconds since the Unix epoch, null for no limit. */
  from: number | null;
  to: number | null;
}

export interface Found {
  captions: Caption[];
  /** For the next page, null after the last. */
  cursor: string | null;
}

export class Api {
  readonly #token: string | null;

  constructor(token: string | null) {
    this.#token = token;
  }

  async calls(): Promise<PastCall[]> {
    const { calls } = (await (await this.#ask("/api/calls?limit=1000")).json()) as { calls: PastCall[] };
    return calls;
  }

  async search(query: Query, cursor: string | null): Promise<Found> {
    const wanted = new URLSearchParams({ q: query.text, limit: "50" });
    if (query.call) wanted.set("call", query.call);
    if (query.participant) wanted.set("participant", query.participant);
    if (query.from !== null) wanted.set("from", String(query.from));
    if (query.to !== null) wanted.set("to", String(query.to));
    if (cursor) wanted.set("cursor", cursor);
    const body = (await (await this.#ask(`/api/transcripts?${wanted}`)).json()) as Partial<Found>;
    return { captions: body.captions ?? [], cursor: body.cursor ?? null };
  }

  async transcript(call: string): Promise<Caption[]> {
    const response = await this.#ask(this.#path(call, "json"));
    return ((await response.json()) as { captions: Caption[] }).captions;
  }

  async file(call: string, format: string): Promise<Blob> {
    return (await this.#ask(this.#path(call, format))).blob();
  }

  async erase(call: string): Promise<void> {
    await this.#ask(`/api/calls/${encodeURIComponent(call)}/transcript`, "DELETE");
  }

  #path(call: string, format: string): string {
    return `/api/calls/${encodeURIComponent(call)}/transcript?format=${format}`;
  }

  async #ask(path: string, method = "GET"): Promise<Response> {
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    let response: Response;
    try {
      response = await fetch(path, { method, headers });
    } catch {
      throw new Error("The server cannot be reached.");
    }
    if (response.ok) return response;
    throw new Error(await explain(response));
  }
}

async function explain(response: Response): Promise<string> {
  if (response.status === 401) return "A token with the grant “read” is needed: open this page with ?token=….";
  if (response.status === 403) return "Your token does not allow this.";
  const problem = (await response.json().catch(() => ({}))) as { detail?: string };
  return problem.detail ?? "The server could not do that.";
}
