// A real mediasoup router, driven by JSON lines: {"do": …} in, {"ok": …} or {"error": …} out.
// It is what an application does to bring a room's audio into a call; docs/sfus.md shows it.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const mediasoup = createRequire(`${process.cwd()}/`)("mediasoup");

const worker = await mediasoup.createWorker({ logLevel: "warn", rtcMinPort: 40000 });
const router = await worker.createRouter({
  mediaCodecs: [
    {
      kind: "audio",
      mimeType: "audio/opus",
      clockRate: 48000,
      channels: 2,
      preferredPayloadType: 111,
    },
  ],
});
const listenIp = "127.0.0.1";
const producers = new Map();
const consumers = new Map();
let captioner;

const commands = {
  // The transport to the captioner.
  async captioner({ srtp }) {
    captioner = await router.createPlainTransport({
      listenIp,
      rtcpMux: true,
      comedia: false,
      ...(srtp && { enableSrtp: true, srtpCryptoSuite: srtp }),
    });
    return {
      port: captioner.tuple.localPort,
      srtp: captioner.srtpParameters && {
        suite: captioner.srtpParameters.cryptoSuite,
        key: captioner.srtpParameters.keyBase64,
      },
    };
  },
  // A participant, who sends plain RTP here where others would come by WebRTC.
  async produce({ name, ssrc }) {
    const transport = await router.createPlainTransport({ listenIp, rtcpMux: true, comedia: true });
    const producer = await transport.produce({
      kind: "audio",
      rtpParameters: {
        codecs: [{ mimeType: "audio/opus", payloadType: 100, clockRate: 48000, channels: 2 }],
        encodings: [{ ssrc }],
      },
    });
    producers.set(name, producer);
    return { port: transport.tuple.localPort };
  },
  async consume({ name }) {
    const consumer = await captioner.consume({
      producerId: producers.get(name).id,
      rtpCapabilities: router.rtpCapabilities,
      paused: true,
    });
    consumers.set(name, consumer);
    return {
      ssrc: consumer.rtpParameters.encodings[0].ssrc,
      payloadType: consumer.rtpParameters.codecs[0].payloadType,
    };
  },
  async connect({ ip, port }) {
    const srtpParameters = captioner.srtpParameters;
    await captioner.connect({ ip, port, ...(srtpParameters && { srtpParameters }) });
    return {};
  },
  async resume({ name }) {
    await consumers.get(name).resume();
    return {};
  },
  // What mediasoup has understood of the captioner's receiver reports.
  async stats({ name }) {
    return await consumers.get(name).getStats();
  },
  async close({ name }) {
    producers.get(name).close();
    return {};
  },
};

console.log(JSON.stringify({ ok: { version: mediasoup.version } }));
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: await commands[message.do](message) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
worker.close();
