import { defineConfig } from "vite";

// The element for pages without a bundler: one file that the gateway serves.
export default defineConfig({
  root: new URL(".", import.meta.url).pathname,
  build: {
    target: "es2022",
    outDir: "../../signaling/page/client",
    emptyOutDir: true,
    lib: { entry: { "surtitle-captions": "src/standalone.ts" }, formats: ["es"] },
  },
});
