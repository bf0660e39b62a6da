import { useCaptions } from "@surtitle/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

const query = new URLSearchParams(location.search);
const server = query.get("server") ?? "http://127.0.0.1:8080";
const call = query.get("call") ?? "lobby";

function Captions() {
  const { captions, connection, error } = useCaptions({ call, server, token: query.get("token") });
  if (error) return <p role="alert">{error.message}</p>;
  if (captions.length === 0) return <p>{connection === "connected" ? "Nobody has spoken yet." : "Connecting…"}</p>;
  return (
    <ol>
      {captions.map((caption) => (
        <li key={`${caption.utterance} ${caption.language}`} lang={caption.language} data-final={caption.final}>
          <b>{caption.speaker}</b> {caption.text}
        </li>
      ))}
    </ol>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Captions />
  </StrictMode>,
);
