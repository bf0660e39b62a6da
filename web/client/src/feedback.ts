// What a browser does for video only unless the offer says so for audio too: keep
// what it sent for a while, and send again what the captioner asks for (generic
// NACK, RFC 4585). Captions can wait the few milliseconds; a lost consonant cannot
// be made up.

/** The offer with generic NACK for Opus beside what it has. */
export function withNack(sdp: string): string {
  return sdp.replace(/^a=rtpmap:(\d+) opus\/48000\/2\r?$/gim, (line, payloadType: string) => {
    const feedback = `a=rtcp-fb:${payloadType} nack`;
    const known = sdp.split(/\r?\n/).includes(feedback);
    return known ? line : `${line.trimEnd()}\r\n${feedback}${line.endsWith("\r") ? "\r" : ""}`;
  });
}
