// The page: the join form, then the room, then the join form again.

import { Call, ContractError, isIdentifier } from "@surtitle/client";
import { Overlay } from "@surtitle/client/overlay";
import { Controls } from "./controls";
import { byId } from "./dom";
import { JoinForm, type JoinChoice } from "./joinform";
import { serverLanguages } from "./languages";
import { Mover } from "./mover";
import { OwnMedia } from "./ownmedia";
import { Panel } from "./panel";
import { Reading } from "./reading";
import { RecordedButton } from "./recordedbutton";
import { Room } from "./room";
import type { Screen } from "./screen";
import { Settings } from "./settings";
import { Status } from "./status";
import { Tiles } from "./tiles";
import { clearToast, toast } from "./toast";
import { TranscriptMenu } from "./transcript";

const address = new URL(location.href);
const token = address.searchParams.get("token");

let own: OwnMedia | null = null;
let room: Room | null = null;
let watching: Reading | null = null;

const overlay = new Overlay(byId("overlay"));
const tiles = new Tiles(byId("tiles"), () => toast("Click anywhere to hear the others."));
const screen: Screen = {
  overlay,
  tiles,
  toast,
  panel: new Panel(),
  status: new Status(),
  transcript: new TranscriptMenu(token),
  recorded: new RecordedButton(token, (participant) => tiles.markRecorded(participant)),
  controls: new Controls({
    microphone: () => void own?.toggleMicrophone().then(report),
    camera: () => void own?.toggleCamera().then(report),
    captioned: () => void room?.toggleCaptioned(),
    leave: () => void leave("You have left the call.", "note"),
  }),
  settings: new Settings({
    preferences: (preferences) => overlay.setPreferences(preferences),
    captionsLanguage: async (feed) => (await (room ?? watching)?.update({ captions_language: feed })) ?? false,
    spokenLanguage: async (language) => (await room?.update({ language })) ?? false,
    anonymous: async (hidden) => (await room?.update({ anonymous: hidden })) ?? false,
  }),
};
new Mover({
  grip: byId("move-captions"),
  captions: byId("captions-place"),
  stage: byId("stage"),
  place: () => screen.settings.place,
  move: (place) => screen.settings.move(place),
});
const form = new JoinForm(address.searchParams.get("call"), (choice) => void join(choice));

void serverLanguages().then((languages) => {
  form.setLanguages(languages);
  screen.settings.offerLanguages(languages.captions);
});
document.addEventListener("click", () => tiles.playAll());
byId("invite").addEventListener("click", () => void copyLink("Invite"));
byId("invite-watch").addEventListener("click", () => void copyLink("Reading"));
if (token) byId<HTMLAnchorElement>("past-calls").search = `?token=${encodeURIComponent(token)}`;
if (address.searchParams.has("watch")) watch(address.searchParams.get("call") ?? "");

async function join(choice: JoinChoice): Promise<void> {
  if (!isIdentifier(choice.call)) {
    form.say("A call is named with letters, digits and - _ . : only.");
    return;
  }
  form.setBusy(true);
  const media = new OwnMedia(choice.devices, () => room?.mediaChanged());
  own = media;
  const problems = await media.open();
  room = new Room(choice, token, media, screen, {
    joined: () => enter(choice, problems),
    waiting: (message) => form.say(message, "note"),
    refused: (error) => void leave(explain(error)),
  });
}

/** A link to read along: no form, no devices. */
function watch(call: string): void {
  if (!isIdentifier(call)) return form.say("The link does not name a call.");
  form.setBusy(true);
  const reading = new Call({ call, token, captionsLanguage: screen.settings.feed });
  watching = new Reading(reading, screen, {
    joined: () => {
      document.body.dataset["watching"] = "true";
      open(call);
      byId("settings-button").focus({ preventScroll: true });
    },
    waiting: (message) => form.say(message, "note"),
    refused: (error) => void leave(explain(error)),
  });
  reading.watch().catch(() => undefined); // `closed` tells
}

function enter(choice: JoinChoice, problems: string[]): void {
  address.searchParams.set("call", choice.call);
  history.replaceState(null, "", address);
  screen.recorded.setCall(choice.call);
  screen.settings.reset(choice.language, choice.anonymous);
  open(choice.call);
  byId("mute").focus({ preventScroll: true });
  if (problems.length > 0) toast(`${problems.join(" ")} You can still listen and read along.`);
}

function open(call: string): void {
  document.title = `${call} – Surtitle`;
  byId("call-name").textContent = call;
  screen.transcript.setCall(call, screen.settings.feed);
  byId("join-screen").hidden = true;
  byId("room").hidden = false;
  document.body.dataset["joined"] = "true";
  form.setBusy(false);
  form.say("");
}

async function leave(message: string, kind: "note" | "problem" = "problem"): Promise<void> {
  const left = room ?? watching;
  room = watching = null;
  own?.close();
  own = null;
  screen.recorded.stop();
  clearToast();
  screen.settings.close();
  byId("room").hidden = true;
  byId("join-screen").hidden = false;
  document.body.dataset["joined"] = "false";
  document.title = "Surtitle";
  form.setBusy(false);
  form.say(message, kind);
  form.focus();
  void form.refreshDevices();
  await left?.leave();
  if (room ?? watching) return;
  delete document.body.dataset["watching"];
  overlay.clear();
  tiles.clear();
  screen.panel.clear();
  screen.status.clear();
}

/** Without the token: it names one person and is not for passing on. */
async function copyLink(kind: "Invite" | "Reading"): Promise<void> {
  const call = encodeURIComponent((room ?? watching)?.call ?? "");
  const link = `${location.origin}/?call=${call}${kind === "Reading" ? "&watch" : ""}`;
  try {
    await navigator.clipboard.writeText(link);
    toast(kind === "Invite" ? "Invite link copied." : "Link to read along copied.");
  } catch {
    toast(`Send others ${link}`);
  }
}

function report(problem: string | null): void {
  if (problem) toast(problem);
}

function explain(error: Error): string {
  const code = error instanceof ContractError ? error.code : "unauthorized";
  switch (code) {
    case "forbidden":
      return "Your invitation does not allow joining this call. Ask the host for one that does.";
    case "unauthorized":
      return "Your invitation is missing or no longer valid. Ask the host for a new one.";
    case "not_found":
      return "There is no such call.";
    case "conflict":
      return "You are already in this call, in another window perhaps.";
    default:
      return error.message;
  }
}
