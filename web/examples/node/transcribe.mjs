// What is said in a WAV file (16 kHz, mono, 16 bits), by the namespace for raw audio:
//   node transcribe.mjs http://127.0.0.1:8080 speech.wav
// Each chunk is acknowledged once the next may come: a file goes as fast as it is recognized.
import { readFileSync } from "node:fs";
import { io } from "socket.io-client";

const [url, file] = process.argv.slice(2);
const pcm = readFileSync(file).subarray(44); // behind the header
const socket = io(`${url}/transcribe`, { auth: { token: process.env.SURTITLE_TOKEN } });
socket.on("transcription_result", (result) => result.is_partial || console.log(result.text));
socket.on("error", ({ code, message }) => console.error(code, message));
await socket.emitWithAck("start_transcription", { language_code: "en-US" });
for (let at = 0; at < pcm.length; at += 3200) {
  await socket.emitWithAck("audio_chunk", { chunk: pcm.subarray(at, at + 3200) });
}
await socket.emitWithAck("stop_transcription", {});
socket.close();
