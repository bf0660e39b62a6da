import { describe, expect, it } from "vitest";
import { breakLines } from "./lines";

const measure = (text: string): number => text.length;
const lines = (text: string, shown: string[] = [], width = 12): string[] => breakLines(text, shown, measure, width);

describe("lines", () => {
  it("are broken greedily and join to the text", () => {
    const text = "ask not what your country can do";
    expect(lines(text)).toEqual(["ask not what ", "your country ", "can do"]);
    expect(lines(text).join("")).toBe(text);
  });

  it("keep their breaks while their text stands", () => {
    const shown = ["ask not ", "what your"];
    expect(lines("ask not what your country", shown)).toEqual(["ask not ", "what your ", "country"]);
  });

  it("are broken anew from where the text changed", () => {
    const shown = ["ask not what ", "your county ", "can"];
    expect(lines("ask not what our county can", shown)).toEqual(["ask not what ", "our county ", "can"]);
  });

  it("let a growing last word move to the next line alone", () => {
    const before = lines("ask not wha");
    expect(before).toEqual(["ask not wha"]);
    expect(lines("ask not whatever", before)).toEqual(["ask not ", "whatever"]);
  });

  it("split a word that no line can hold, between whole characters", () => {
    expect(lines("👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", [], 16)).toEqual(["👩‍👩‍👧👩‍👩‍👧", "👩‍👩‍👧"]);
    expect(lines("今日は良い天気ですね", [], 4)).toEqual(["今日は良", "い天気で", "すね"]);
  });

  it("do without text", () => {
    expect(lines("", ["ask"])).toEqual([]);
  });
});
