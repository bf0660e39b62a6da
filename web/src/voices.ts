// The recorded voices that come with the server: who speaks, and their clips.

import { isRecord } from "@surtitle/client";

export interface Clip {
  file: string;
  speaker: string;
  text: string;
  seconds: number;
  language: string;
}

/** Clips by speaker, in the order of the manifest. */
export type Voices = ReadonlyMap<string, readonly Clip[]>;

export async function loadVoices(): Promise<Voices> {
  const response = await fetch("/voices/manifest.json");
  if (!response.ok) throw new Error("This server has no recorded speakers.");
  const manifest: unknown = await response.json();
  const voices = new Map<string, Clip[]>();
  for (const clip of Array.isArray(manifest) ? manifest.filter(isClip) : []) {
    voices.set(clip.speaker, [...(voices.get(clip.speaker) ?? []), clip]);
  }
  if (voices.size === 0) throw new Error("This server has no recorded speakers.");
  return voices;
}

export async function loadClip(context: AudioContext, clip: Clip): Promise<AudioBuffer> {
  const response = await fetch(`/voices/${encodeURIComponent(clip.file)}`);
  if (!response.ok) throw new Error("A recording could not be loaded.");
  return context.decodeAudioData(await response.arrayBuffer());
}

function isClip(value: unknown): value is Clip {
  return isRecord(value) && typeof value["file"] === "string" && typeof value["speaker"] === "string";
}
