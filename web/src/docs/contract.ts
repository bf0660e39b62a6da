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
}

interface Message {
  name: string;
  summary?: string;
  payload: Reference;
  examples?: { payload: unknown }[];
}

interface Operation {
  action: "send" | "receive";
  summary: string;
  messages: Reference[];
  reply?: { messages: Reference[] };
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

export interface Endpoint {
  method: string;
  path: string;
  summary: string;
}

const SYNC = new Set(["get", "post", "put", "patch", "delete"]);

export function eventsSent(): EventInfo[] {
  return operations("receive").map((operation) => {
    const message = resolve<Message>(operation.messages[0]!);
    const answer = operation.reply ? fieldsOf(resolve<Message>(operation.reply.messages[0]!)) : [];
    return {
      name: message.name,
      summary: operation.summary,
      fields: fieldsOf(message),
      answer: answer.filter(({ name }) => name !== "ok"),
      example: message.examples?.[0]?.payload ?? {},
    };
  });
}

export function eventsTold(): EventInfo[] {
  return operations("send")
    .flatMap(({ messages }) => messages.map((one) => resolve<Message>(one)))
    .map((message) => ({
      name: message.name,
      summary: message.summary ?? "",
      fields: fieldsOf(message),
      answer: null,
      example: message.examples?.[0]?.payload ?? null,
    }));
}

export function endpoints(): Endpoint[] {
  const paths = (openapi as { paths: Record<string, Record<string, { summary: string }>> }).paths;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => SYNC.has(method))
      .map(([method, { summary }]) => ({ method: method.toUpperCase(), path, summary })),
  );
}

function operations(action: string): Operation[] {
  const all = (asyncapi as { operations: Record<string, Operation> }).operations;
  return Object.values(all).filter((operation) => operation.action === action);
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
  const { properties = {}, required = [] } = resolve<Schema>(message.payload);
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
