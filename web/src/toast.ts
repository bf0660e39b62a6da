// A short message that goes away by itself.

import { byId } from "./dom";

let timer = 0;

export function toast(message: string): void {
  const element = byId("toast");
  element.textContent = message;
  element.hidden = false;
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    element.hidden = true;
  }, Math.max(4_000, message.length * 80));
}

export function clearToast(): void {
  clearTimeout(timer);
  byId("toast").hidden = true;
}
