import { describe, expect, it } from "vitest";
import { dragged, nudged } from "./mover";

describe("captions are moved", () => {
  it("by arrow keys, a step each", () => {
    expect(nudged({ x: 0.5, y: 0 }, "ArrowUp")).toEqual({ x: 0.5, y: 0.04 });
    expect(nudged({ x: 0.5, y: 0.5 }, "ArrowLeft")).toEqual({ x: 0.46, y: 0.5 });
  });

  it("never out of the picture", () => {
    expect(nudged({ x: 1, y: 0 }, "ArrowRight")).toEqual({ x: 1, y: 0 });
    expect(nudged({ x: 1, y: 0 }, "ArrowDown")).toEqual({ x: 1, y: 0 });
    expect(dragged({ x: 0.5, y: 0 }, { x: -9000, y: 9000 }, { x: 300, y: 400 })).toEqual({ x: 0, y: 1 });
  });

  it("as far as they are dragged", () => {
    expect(dragged({ x: 0.5, y: 0 }, { x: 75, y: 100 }, { x: 300, y: 400 })).toEqual({ x: 0.75, y: 0.25 });
  });

  it("nowhere where there is no room", () => {
    expect(dragged({ x: 0.5, y: 0.2 }, { x: 75, y: 100 }, { x: 0, y: -5 })).toEqual({ x: 0.5, y: 0.2 });
  });

  it("back by Home, and by no other key", () => {
    expect(nudged({ x: 0.9, y: 0.7 }, "Home")).toEqual({ x: 0.5, y: 0 });
    expect(nudged({ x: 0.9, y: 0.7 }, "a")).toBeNull();
  });
});
