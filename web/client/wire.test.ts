// The types of the contract are made of its one description, and are never behind it.
// `npm --prefix web run wire` makes them anew.

import { compile, type JSONSchema } from "json-schema-to-typescript";
import { expect, it } from "vitest";
import { parse } from "yaml";
import asyncapi from "../../docs/asyncapi.yaml?raw";

const BANNER = "// Made of docs/asyncapi.yaml by `npm --prefix web run wire`: not for changing by hand.";

it("the types are those of docs/asyncapi.yaml", { timeout: 60_000 }, async () => {
  const { components } = parse(asyncapi) as { components: { schemas: Record<string, JSONSchema> } };
  const schemas = JSON.stringify(components.schemas).replaceAll("#/components/schemas/", "#/definitions/");
  const definitions = JSON.parse(schemas) as Record<string, JSONSchema>;
  const whole: JSONSchema = { title: "Wire", type: "object", definitions };
  const types = await compile(whole, "Wire", {
    additionalProperties: false,
    bannerComment: BANNER,
    unknownAny: true,
    unreachableDefinitions: true,
    style: { printWidth: 110 },
  });
  const noise = /^export interface Wire \{[^}]*\}\n|( \*\n)? \* This interface was referenced by .*\n \* via the .*\n/gm;
  const quiet = types.replace(noise, "").replaceAll("/**\n */\n", "");
  await expect(quiet).toMatchFileSnapshot("./src/wire.ts");
});
