import { describe, expect, it } from "vitest";
import { marked } from "./marked";

const hits = (text: string, query: string): string[] =>
  marked(text, query).filter(({ hit }) => hit).map(({ text: part }) => part);

describe("words of a query", () => {
  it("are found whatever their case and accents", () => {
    expect(hits("A rápida RAPOSA salta", "rapida raposa")).toEqual(["rápida", "RAPOSA"]);
  });

  it("are found at the beginning of words only", () => {
    expect(hits("the parcel of Parcival, unparceled", "parc")).toEqual(["parcel", "Parcival"]);
  });

  it("leave the text as it is", () => {
    const text = "Ask not — what? “Your” country";
    expect(marked(text, "what your").map((part) => part.text).join("")).toBe(text);
  });

  it("that are none mark nothing", () => {
    expect(marked("Ask not", "  ")).toEqual([{ text: "Ask not", hit: false }]);
    expect(marked("", "ask")).toEqual([]);
  });
});
