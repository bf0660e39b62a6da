// What several tests need; no part of the page.

import type { Caption } from "./contract";

export function caption(fields: Partial<Caption>): Caption {
  return {
    call: "c",
    utterance: "u-1",
    revision: 1,
    participant: "p-anna",
    speaker: "Anna",
    language: "en",
    source_language: "en",
    text: "ask",
    stable: 0,
    final: false,
    feed: "spoken",
    seq: null,
    start_ms: 0,
    end_ms: 500,
    ...fields,
  };
}
