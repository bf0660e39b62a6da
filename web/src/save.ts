import { create } from "@surtitle/client/dom";

/** Hand a file over, as by a link that was clicked. */
export function save(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  create("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
