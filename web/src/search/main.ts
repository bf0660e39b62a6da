// Past calls: full text, speaker, date; a transcript with times; erasing it.

import { byId } from "../dom";
import { Api, type Found, type PastCall, type Query } from "./api";
import { Results } from "./results";
import { TranscriptView } from "./transcriptview";

const address = new URL(location.href);
const api = new Api(address.searchParams.get("token"));
const words = byId<HTMLInputElement>("query");
const callChoice = byId<HTMLSelectElement>("call");
const speakerChoice = byId<HTMLSelectElement>("speaker");
const more = byId<HTMLButtonElement>("more");
const found = byId("found");

let calls = new Map<string, PastCall>();
let asked: Query | null = null;
let cursor: string | null = null;

const results = new Results(byId<HTMLOListElement>("results"), (call, utterance) => void open(call, utterance));
const transcript = new TranscriptView(api, {
  back: () => showResults(),
  erased: (call) => void erased(call),
  problem: report,
});

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  void search();
});
for (const choice of [callChoice, speakerChoice]) choice.addEventListener("change", () => void search());
more.addEventListener("click", () => void next());
void begin();

async function begin(): Promise<void> {
  await learnCalls();
  const call = address.searchParams.get("call");
  if (call && calls.has(call)) await open(call, "");
  else if (calls.size > 0) await search();
}

async function learnCalls(): Promise<void> {
  try {
    const all = await api.calls();
    calls = new Map(all.map((one) => [one.call, one]));
    results.setCalls(all);
    callChoice.replaceChildren(new Option("All calls", ""), ...all.map(({ call }) => new Option(call, call)));
    say(all.length === 0 ? "There are no past calls yet." : "");
  } catch (error) {
    report(error);
  }
}

async function search(): Promise<void> {
  asked = {
    text: words.value.trim(),
    call: callChoice.value,
    participant: speakerChoice.value,
    from: day("from", 0),
    to: day("to", 1),
  };
  cursor = null;
  results.clear();
  showResults();
  const some = await next();
  if (some === 0) say("Nothing was found.");
}

/** How many captions the next page had. */
async function next(): Promise<number> {
  if (!asked) return 0;
  const query = asked;
  try {
    const page = await api.search(query, cursor);
    if (query !== asked) return page.captions.length;
    cursor = page.cursor;
    results.add(page.captions, query.text);
    learnSpeakers(page);
    more.hidden = cursor === null;
    say("");
    return page.captions.length;
  } catch (error) {
    report(error);
    return -1;
  }
}

/** Who can be chosen as the speaker: everybody who was found so far. */
function learnSpeakers({ captions }: Found): void {
  const known = new Set([...speakerChoice.options].map(({ value }) => value));
  for (const { participant, speaker } of captions) {
    if (!known.has(participant)) speakerChoice.add(new Option(speaker, participant));
    known.add(participant);
  }
}

async function open(call: string, utterance: string): Promise<void> {
  try {
    const captions = await api.transcript(call);
    found.hidden = true;
    say(captions.length === 0 ? "Nothing of this call is kept." : "");
    transcript.show(call, calls.get(call), captions, utterance);
  } catch (error) {
    report(error);
  }
}

async function erased(call: string): Promise<void> {
  await search();
  say(`The transcript of ${call} is erased.`);
  words.focus();
}

function showResults(): void {
  transcript.hidden = true;
  found.hidden = false;
}

/** Midnight here of the day that was chosen, or of a later one. */
function day(id: string, later: number): number | null {
  const { value } = byId<HTMLInputElement>(id);
  if (!value) return null;
  const date = new Date(`${value}T00:00:00`);
  date.setDate(date.getDate() + later);
  return date.getTime() - (later > 0 ? 1 : 0);
}

function report(error: unknown): void {
  say(error instanceof Error ? error.message : "That did not work.");
}

function say(message: string): void {
  byId("message").textContent = message;
}
