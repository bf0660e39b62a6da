import { defineConfig } from "vite";

// The gateway serves this folder at `/`; the page speaks to the origin it came from.
export default defineConfig({
  base: "/",
  build: {
    outDir: "../signaling/page",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
  },
});
