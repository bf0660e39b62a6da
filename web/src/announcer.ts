// Finals for screen readers, where the viewer asks for them. Partials never come
// here: a live region would read their words again and again.

import type { Caption } from "@surtitle/client";
import { create } from "@surtitle/client/dom";
import { byId } from "./dom";

const KEPT = 5;

export function announce(caption: Caption): void {
  const log = byId("announcer");
  log.append(create("p", { lang: caption.language }, `${caption.speaker}: ${caption.text}`));
  while (log.childElementCount > KEPT) log.firstElementChild!.remove();
}
