import { defineConfig } from "vite";

// The package: socket.io-client and React are the application's own.
export default defineConfig({
  root: new URL(".", import.meta.url).pathname,
  build: {
    target: "es2022",
    lib: {
      entry: { index: "src/index.ts", react: "src/react.ts", element: "src/element.ts" },
      formats: ["es"],
    },
    rollupOptions: { external: ["react", "socket.io-client"] },
  },
});
