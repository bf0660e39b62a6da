import { defineConfig, type Plugin } from "vite";
import { parse } from "yaml";

const CONTRACT = ["asyncapi.yaml", "openapi.yaml"];

/** The documents of the contract: parsed for the page that shows them, and beside it as they are. */
const contract: Plugin = {
  name: "contract",
  transform(code, id) {
    if (id.endsWith(".yaml")) return `export default ${JSON.stringify(parse(code))};`;
    return null;
  },
  async generateBundle() {
    for (const name of CONTRACT) {
      const source = await this.fs.readFile(new URL(`../docs/${name}`, import.meta.url).pathname);
      this.emitFile({ type: "asset", fileName: `docs/${name}`, source });
    }
  },
};

// The gateway serves this folder at `/`; the page speaks to the origin it came from.
export default defineConfig({
  base: "/",
  plugins: [contract],
  resolve: { tsconfigPaths: true },
  build: {
    outDir: "../signaling/page",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    rollupOptions: { input: ["index.html", "search.html", "docs.html"] },
  },
});
