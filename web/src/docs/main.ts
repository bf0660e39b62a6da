// The contract to read, and its events to try by hand.

import { create } from "@surtitle/client/dom";
import { openSocket, request } from "@surtitle/client/socket";
import type { Socket } from "socket.io-client";
import { byId } from "../dom";
import {
  type Door,
  endpoints,
  type EventInfo,
  eventsSent,
  eventsTold,
  type Field,
  otherDoors,
} from "./contract";

const KEPT = 200;

let socket: Socket | null = null;

byId<HTMLInputElement>("token").value = new URL(location.href).searchParams.get("token") ?? "";
byId("connect").addEventListener("submit", (event) => {
  event.preventDefault();
  connect(byId<HTMLInputElement>("token").value.trim());
});
byId("sent").append(...eventsSent().map(drawSent));
byId("told").append(...eventsTold().map(drawTold));
byId("doors").append(...otherDoors().flatMap(drawDoor));
byId("http").append(
  table("Methods and paths", endpoints().map(({ method, path, summary }) => [method, path, summary])),
);

function connect(token: string): void {
  socket?.disconnect();
  const opened = openSocket(undefined, token || null);
  socket = opened;
  const say = (words: string): void => {
    if (socket === opened) byId("connection").textContent = words;
  };
  say("Connecting…");
  opened.on("connect", () => say("Connected"));
  opened.on("disconnect", () => say("Not connected"));
  opened.on("connect_error", (error) => say(`Refused: ${error.message}`));
  opened.onAny((event: string, payload: unknown) => tell(`← ${event}`, payload));
  opened.connect();
}

function drawSent(info: EventInfo): HTMLElement {
  const text = JSON.stringify(info.example, null, 2);
  const payload = create("textarea", { rows: String(text.split("\n").length), spellcheck: "false" });
  payload.value = text;
  payload.setAttribute("aria-label", `Payload of ${info.name}`);
  const send = create("button", { type: "button", class: "secondary" }, `Send ${info.name}`);
  send.addEventListener("click", () => void trySending(info.name, payload.value));
  const answer = info.answer ?? [];
  return drawEvent(
    info,
    ...(answer.length > 0 ? [create("h4", {}, "The acknowledgement, beside ok"), fieldTable(answer)] : []),
    create("h4", {}, "Try it"),
    payload,
    send,
  );
}

function drawDoor({ address, description, sent, told }: Door): HTMLElement[] {
  return [
    create("h3", {}, create("code", {}, address)),
    create("p", {}, description),
    create("h4", {}, "What clients send"),
    ...sent.map(drawTold),
    create("h4", {}, "What they are told"),
    ...told.map(drawTold),
  ];
}

function drawTold(info: EventInfo): HTMLElement {
  const example = info.example === null ? [] : [create("pre", {}, JSON.stringify(info.example, null, 2))];
  return drawEvent(info, ...example);
}

function drawEvent(info: EventInfo, ...rest: HTMLElement[]): HTMLElement {
  const summary = create("summary", {}, create("code", {}, info.name), " ", info.summary);
  const fields = info.fields.length > 0 ? fieldTable(info.fields) : create("p", {}, "Nothing in it.");
  return create("details", { "data-event": info.name }, summary, fields, ...rest);
}

function fieldTable(fields: readonly Field[]): HTMLElement {
  return table(
    "Fields",
    fields.map(({ name, type, required, description }) => [name + (required ? "" : "?"), type, description]),
  );
}

/** Wider than a phone: so that it can be scrolled by keyboard, too, it takes the focus. */
function table(label: string, rows: string[][]): HTMLElement {
  const lines = rows.map(([name = "", type = "", description = ""]) =>
    create(
      "tr",
      {},
      create("th", { scope: "row" }, create("code", {}, name)),
      create("td", {}, create("code", {}, type)),
      create("td", {}, description),
    ),
  );
  const scroller = { class: "table", tabindex: "0", role: "group", "aria-label": label };
  return create("div", scroller, create("table", {}, create("tbody", {}, ...lines)));
}

async function trySending(event: string, text: string): Promise<void> {
  let payload: unknown;
  try {
    payload = JSON.parse(text);
  } catch {
    return tell(`${event}: the payload is not JSON`, null);
  }
  if (!socket) return tell("Connect first", null);
  tell(`→ ${event}`, payload);
  try {
    tell(`✓ ${event}`, await request(socket, event, payload));
  } catch (error) {
    tell(`✗ ${event}`, error instanceof Error ? { ...error, message: error.message } : error);
  }
}

function tell(what: string, payload: unknown): void {
  const time = create("time", {}, new Date().toLocaleTimeString());
  const body = payload === null ? [] : [create("pre", {}, JSON.stringify(payload, null, 2))];
  const list = byId("heard");
  list.prepend(create("li", {}, create("p", {}, create("code", {}, what), " ", time), ...body));
  while (list.childElementCount > KEPT) list.lastElementChild!.remove();
}
