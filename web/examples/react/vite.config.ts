import { defineConfig } from "vite";

// In an application of its own `@surtitle/client` is installed, and this is not needed.
export default defineConfig({
  root: new URL(".", import.meta.url).pathname,
  resolve: { tsconfigPaths: true },
});
