// `useCaptions`: the captions of a call in a React component.

import { useEffect, useRef, useState } from "react";
import { Call, type CallOptions, type Connection, type Person } from "./call";
import { inReadingOrder } from "./captions";
import type { CallState, Caption, Participant } from "./contract";

export interface CaptionsOptions extends CallOptions {
  /** Take part under a name, instead of watching only. */
  join?: Person | undefined;
}

export interface LiveCaptions {
  /** Finals in the order of their `seq`, then what is being said. */
  captions: readonly Caption[];
  connection: Connection;
  participants: ReadonlyMap<string, Participant>;
  state: CallState | null;
  /** Why the server refused. */
  error: Error | null;
  /** For `update`, `request` and an `AudioSender`; null before the first effect. */
  call: Call | null;
}

const NOTHING: LiveCaptions = {
  captions: [],
  connection: "idle",
  participants: new Map(),
  state: null,
  error: null,
  call: null,
};

/**
 * Enters the call while the component is there. Another call, server, language or name enters
 * anew; a new token is used at the next connection.
 */
export function useCaptions({ call, server, token, captionsLanguage, join }: CaptionsOptions): LiveCaptions {
  const [live, setLive] = useState(NOTHING);
  const newestToken = useRef(token);
  newestToken.current = token;
  const joins = join !== undefined;
  const { name, language, captioned, anonymous } = join ?? {};
  useEffect(() => {
    const there = new Call({ call, server, captionsLanguage, token: () => tokenOf(newestToken.current) });
    const show = (error: Error | null = null): void =>
      setLive({
        captions: inReadingOrder(there.captions),
        connection: there.connection,
        participants: there.participants,
        state: there.state,
        error,
        call: there,
      });
    const listening = [
      there.on("connected", () => show()),
      there.on("disconnected", () => show()),
      there.on("captions", () => show()),
      there.on("participants", () => show()),
      there.on("state", () => show()),
      there.on("closed", show),
    ];
    (join ? there.join(join) : there.watch()).catch(() => undefined); // `closed` tells
    show();
    return () => {
      for (const off of listening) off();
      void there.leave();
      setLive(NOTHING);
    };
  }, [call, server, captionsLanguage, joins, name, language, captioned, anonymous]);
  return live;
}

async function tokenOf(token: CallOptions["token"]): Promise<string> {
  return (typeof token === "function" ? await token() : token) ?? "";
}
