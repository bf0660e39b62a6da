// What the package weighs, as it is built: a page that wants captions has better uses for a network.

import { build } from "vite";
import { expect, it } from "vitest";
import config from "./vite.config";

const MOST_BYTES = 30_000;

async function gzippedBytes(code: string): Promise<number> {
  const stream = new Blob([code]).stream().pipeThrough(new CompressionStream("gzip"));
  return (await new Response(stream).arrayBuffer()).byteLength;
}

it("all of the package is below 30 KB gzipped, without socket.io-client", { timeout: 60_000 }, async () => {
  const built = await build({ ...config, configFile: false, logLevel: "error", build: { ...config.build, write: false } });
  const chunks = [built].flat().flatMap((bundle) => ("output" in bundle ? bundle.output : []));
  const code = chunks.map((chunk) => (chunk.type === "chunk" ? chunk.code : ""));
  expect(code.join("")).not.toContain("engine.io");
  const bytes = await Promise.all(code.map(gzippedBytes));
  expect(bytes.reduce((sum, one) => sum + one, 0)).toBeLessThan(MOST_BYTES);
});
