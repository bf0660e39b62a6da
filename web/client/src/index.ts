// What front-end teams build on: being in a call, one's audio, and which caption is true.

export { AudioSender, type AudioEvents, type AudioStatus } from "./audio";
export { Call, type CallEvents, type CallOptions, type Connection, type Person } from "./call";
export {
  captionKey,
  hasHole,
  inReadingOrder,
  noCaptions,
  receive,
  receiveAnswer,
  type Captions,
} from "./captions";
export * from "./contract";
export type { Token } from "./socket";
