// The parts of the screen during a call, built once.

import type { Controls } from "./controls";
import type { Overlay } from "@surtitle/client/overlay";
import type { Panel } from "./panel";
import type { RecordedButton } from "./recordedbutton";
import type { Settings } from "./settings";
import type { Status } from "./status";
import type { Tiles } from "./tiles";
import type { TranscriptMenu } from "./transcript";

export interface Screen {
  controls: Controls;
  overlay: Overlay;
  panel: Panel;
  recorded: RecordedButton;
  settings: Settings;
  status: Status;
  tiles: Tiles;
  transcript: TranscriptMenu;
  toast(message: string): void;
}
