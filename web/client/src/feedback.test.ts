import { describe, expect, it } from "vitest";
import { withNack } from "./feedback";

const OFFER = [
  "v=0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
  "a=rtpmap:111 opus/48000/2",
  "a=rtcp-fb:111 transport-cc",
  "a=rtpmap:63 red/48000/2",
  "",
];

describe("an offer of audio", () => {
  it("says that lost packets can be asked for again", () => {
    const expected = [...OFFER];
    expected.splice(3, 0, "a=rtcp-fb:111 nack");
    expect(withNack(OFFER.join("\r\n"))).toBe(expected.join("\r\n"));
  });

  it("says so once", () => {
    const once = withNack(OFFER.join("\r\n"));
    expect(withNack(once)).toBe(once);
  });

  it("without Opus is left as it is", () => {
    expect(withNack("v=0\r\nm=audio 9 RTP/AVP 0\r\n")).toBe("v=0\r\nm=audio 9 RTP/AVP 0\r\n");
  });
});
