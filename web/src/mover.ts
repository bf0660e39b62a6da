// Captions where the viewer wants them: by dragging the grip beside them, or by arrow keys.

import type { Place } from "./preferences";

const STEP = 0.04;
/** Of the picture's height, a block of captions: as `--travel` in overlay.css has it. */
const BLOCK_REM = 9;

/** Where an arrow key takes them, null for other keys. */
export function nudged({ x, y }: Place, key: string): Place | null {
  switch (key) {
    case "ArrowLeft":
      return within({ x: x - STEP, y });
    case "ArrowRight":
      return within({ x: x + STEP, y });
    case "ArrowDown":
      return within({ x, y: y - STEP });
    case "ArrowUp":
      return within({ x, y: y + STEP });
    case "Home":
      return { x: 0.5, y: 0 };
    default:
      return null;
  }
}

/** Where a drag by so many pixels takes them; `room` is what they can be moved by. */
export function dragged({ x, y }: Place, by: Place, room: Place): Place {
  const part = (pixels: number, of: number): number => (of > 0 ? pixels / of : 0);
  return within({ x: x + part(by.x, room.x), y: y + part(by.y, room.y) });
}

function within({ x, y }: Place): Place {
  const between = (value: number): number => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
  return { x: between(x), y: between(y) };
}

export interface MoverParts {
  grip: HTMLElement;
  captions: HTMLElement;
  stage: HTMLElement;
  /** Where they stand now. */
  place(): Place;
  move(place: Place): void;
}

export class Mover {
  readonly #parts: MoverParts;

  constructor(parts: MoverParts) {
    this.#parts = parts;
    parts.grip.addEventListener("keydown", (event) => {
      const place = nudged(parts.place(), event.key);
      if (!place) return;
      event.preventDefault();
      parts.move(place);
    });
    parts.grip.addEventListener("pointerdown", (event) => this.#drag(event));
  }

  #drag(start: PointerEvent): void {
    const { grip, captions, stage, place, move } = this.#parts;
    const from = place();
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const room = {
      x: stage.clientWidth - captions.clientWidth,
      y: stage.clientHeight - BLOCK_REM * rem,
    };
    const moved = (event: PointerEvent): void =>
      move(dragged(from, { x: event.clientX - start.clientX, y: start.clientY - event.clientY }, room));
    grip.setPointerCapture(start.pointerId);
    grip.addEventListener("pointermove", moved);
    const released = (): void => grip.removeEventListener("pointermove", moved);
    grip.addEventListener("pointerup", released, { once: true });
    grip.addEventListener("pointercancel", released, { once: true });
  }
}
