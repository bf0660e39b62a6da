// The two documents of the contract, as far as this page shows them.

import asyncapi from "../../../docs/asyncapi.yaml";
import openapi from "../../../docs/openapi.yaml";

interface Reference {
  $ref: string;
}

export interface Schema {
  type?: string | string[];
  const?: unknown;
  enum?: string[];
  description?: string;
  properties?: Record<string, (Schema & Partial<Reference>) | true>;
  required?: string[];
  items?: Schema & Partial<Reference>;
  allOf?: (Schema & Partial<Reference>)[];
}

interface Message {
  name: string;
  summary?: string;
  payload: Reference;
  examples?: { payload: unknown }[];
}

interface Operation {
  action: "send" | "receive";
  channel: Reference;
  summary: string;
  messages: Reference[];
  reply?: { messages: Reference[] };
}

interface ChannelInfo {
  address: string;
  description: string;
  servers: Reference[];
}

export interface Field {
  name: string;
  type: string;
  required: boolean;
  description: string;
}

export interface EventInfo {
  name: string;
  summary: string;
  fields: Field[];
  /** Of the acknowledgement, beside `ok`; null for what the server sends. */
  answer: Field[] | null;
  example: unknown;
}

export interface Door {
  address: string;
  description: string;
  sent: EventInfo[];
  told: EventInfo[];
}

export interface Endpoint {
  method: string;
  path: string;
  summary: string;
}

const SYNC = new Set(["get", "post", "put", "patch", "delete"]);

/** What a client sends to the namespace that this page is connected to, or through another door. */
export function eventsSent(channel = "root"): EventInfo[] {
  return operations("receive", channel).flatMap((operation) => {
    const answer = operation.reply ? fieldsOf(resolve<Message>(operation.reply.messages[0]!)) : [];
    return operation.messages.map((one) => {
      const message = resolve<Message>(one);
      return {
        name: message.name,
        summary: message.summary ?? operation.summary,
        fields: fieldsOf(message),
        answer: answer.filter(({ name }) => name !== "ok"),
        example: message.examples?.[0]?.payload ?? {},
      };
    });
  });
}

export function eventsTold(channel = "root"): EventInfo[] {
  return operations("send", channel)
    .flatMap(({ messages }) => messages.map((one) => resolve<Message>(one)))
    .map((message) => ({
      name: message.name,
      summary: message.summary ?? "",
      fields: fieldsOf(message),
      answer: null,
      example: message.examples?.[0]?.payload ?? null,
    }));
}

/** All that is not the namespace `/`. */
export function otherDoors(): Door[] {
  const { channels } = asyncapi as { channels: Record<string, ChannelInfo> };
  return Object.entries(channels)
    .filter(([name]) => name !== "root")
    .map(([name, { address, description, servers }]) => ({
      address: `${pathname(servers)}${address}`,
      description,
      sent: eventsSent(name),
      told: eventsTold(name),
    }));
}

/** Of Socket.IO the address is a namespace; of a WebSocket it is behind the server's path. */
function pathname(servers: Reference[]): string {
  const { protocol, pathname } = resolve<{ protocol: string; pathname: string }>(servers[0]!);
  return pathname === "/socket.io" ? "Socket.IO " : `${protocol}: ${pathname}`;
}

export function endpoints(): Endpoint[] {
  const paths = (openapi as { paths: Record<string, Record<string, { summary: string }>> }).paths;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => SYNC.has(method))
      .map(([method, { summary }]) => ({ method: method.toUpperCase(), path, summary })),
  );
}

function operations(action: string, channel: string): Operation[] {
  const all = (asyncapi as { operations: Record<string, Operation> }).operations;
  const here = `#/channels/${channel}`;
  return Object.values(all).filter((one) => one.action === action && one.channel.$ref === here);
}

function resolve<T>({ $ref }: Reference): T {
  const found = $ref
    .slice(2)
    .split("/")
    .reduce((node, part) => (node as Record<string, unknown>)[part], asyncapi);
  const further = (found as Partial<Reference>).$ref;
  return further ? resolve<T>({ $ref: further }) : (found as T);
}

function fieldsOf(message: Message): Field[] {
  const schema = resolve<Schema>(message.payload);
  const all: (Schema & Partial<Reference>)[] = schema.allOf ?? [schema];
  const parts = all.map((part) => (part.$ref ? resolve<Schema>(part as Reference) : part));
  const properties = Object.assign({}, ...parts.map((part) => part.properties ?? {})) as NonNullable<Schema["properties"]>;
  const required = parts.flatMap((part) => part.required ?? []);
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    type: schema === true ? "any JSON" : typeOf(schema),
    required: required.includes(name),
    description: schema === true ? "" : describe(schema),
  }));
}

function typeOf(schema: Schema & Partial<Reference>): string {
  if (schema.$ref) return schema.$ref.split("/").at(-1)!;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.items) return `${typeOf(schema.items)}[]`;
  return [schema.type ?? "any"].flat().join(" | ");
}

function describe(schema: Schema & Partial<Reference>): string {
  if (!schema.$ref) return schema.description ?? "";
  const named = resolve<Schema>(schema as Reference);
  if (named.description) return named.description;
  return named.enum ? named.enum.join(", ") : "";
}
