// Made of docs/asyncapi.yaml by `npm --prefix web run wire`: not for changing by hand.

export type Id = string;
/**
 * A BCP 47 tag; `auto` asks for detection.
 */
export type Language = string;
/**
 * `spoken` has every utterance in the language it was spoken in; a language tag has every utterance in that language.
 */
export type Feed = string;
/**
 * `mask` stars swear words for this reader alone; a call may have chosen it for everybody.
 */
export type Profanity = "keep" | "mask";
export type Name = string;
export type State = "live" | "degraded" | "recovering" | "ended";
export type Milliseconds = number;
/**
 * The id of the call, or what `call:watch` takes.
 */
export type Subscription = Id | Watch;
export type ErrorCode =
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "invalid"
  | "too_large"
  | "rate_limited"
  | "overloaded"
  | "unavailable"
  | "conflict";
/**
 * Words and names that may well be said.
 *
 * @maxItems 200
 */
export type Vocabulary = string[];
/**
 * For a private session; a call has its own.
 *
 * @maxItems 200
 */
export type Vocabulary1 = string[];
/**
 * A Caption, and whether it is not final.
 */
export type TranscriptionResult = Caption & {
  is_partial: boolean;
};
export type Encoding = "linear16" | "mulaw" | "opus";
/**
 * Hz; of Opus it says nothing.
 */
export type SampleRate = 8000 | 16000 | 48000;

export interface Nothing {}
export interface Join {
  call: Id;
  name?: Name;
  language?: Language;
  captions_language?: Feed;
  profanity?: Profanity;
  /**
   * Finals after this `seq` of the feed are wanted.
   */
  since?: number;
}
export interface Watch {
  call: Id;
  captions_language?: Feed;
  profanity?: Profanity;
  /**
   * Finals after this `seq` of the feed are wanted.
   */
  since?: number;
}
export interface Update {
  name?: Name;
  language?: Language;
  captions_language?: Feed;
  profanity?: Profanity;
  /**
   * False stops captions of one's own speech.
   */
  captioned?: boolean;
  /**
   * True hides one's name in captions and transcripts.
   */
  anonymous?: boolean;
}
export interface Since {
  since: number;
}
/**
 * Send-only audio; ICE candidates in the SDP or trickled.
 */
export interface Offer {
  sdp: string;
  type: "offer";
}
/**
 * As in `RTCIceCandidateInit`; a null `candidate` ends the trickle.
 */
export interface Candidate {
  candidate?: string | null;
  sdpMid?: string | null;
  sdpMLineIndex?: number | null;
}
/**
 * `data` is opaque, at most 64 KiB as JSON.
 */
export interface Signal {
  to: Id;
  data?: unknown;
}
export interface Refresh {
  /**
   * A JWT of the same subject, or an API key.
   */
  token: string;
}
export interface Done {
  ok: true;
}
export interface Refusal {
  ok: false;
  error: ErrorBody;
}
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  retry_after_ms?: number;
}
export interface RefreshAnswer {
  ok: true;
  /**
   * Null where it does not by itself.
   */
  expires_in_ms: number | null;
  /**
   * The one that the socket is (still) in.
   */
  call?: string | null;
}
export interface Expiring {
  expired: boolean;
  closes_in_ms: number;
}
export interface SinceAnswer {
  ok: true;
  /**
   * Finals, in order of `seq`.
   */
  captions: Caption[];
  /**
   * The newest of the feed.
   */
  seq: number;
}
/**
 * The key is (`call`, `utterance`, `language`). A higher `revision` replaces the whole text of its key. Exactly one revision of a key is final; it is the highest.
 */
export interface Caption {
  call: Id;
  utterance: Id;
  revision: number;
  participant: Id;
  /**
   * The name to show.
   */
  speaker: string;
  language: string;
  /**
   * The language that was spoken.
   */
  source_language: string;
  text: string;
  /**
   * Leading characters (code points) of `text` that no later revision changes.
   */
  stable: number;
  final: boolean;
  feed: Feed;
  /**
   * On finals only: 1, 2, 3 … per call and feed, without holes.
   */
  seq: number | null;
  start_ms: Milliseconds;
  end_ms: Milliseconds;
  /**
   * On every final in the spoken language.
   */
  confidence?: number;
  /**
   * On every final in the spoken language.
   */
  words?: Word[];
  /**
   * What a translation is of, in `source_language`; absent on what is as it was spoken.
   */
  source_text?: string;
  /**
   * How long, before this, the speech was not captioned because the captioner failed.
   */
  gap_ms?: number;
}
export interface Word {
  text: string;
  start_ms: Milliseconds;
  end_ms: Milliseconds;
  confidence: number;
}
export interface WatchAnswer {
  ok: true;
  /**
   * Finals, in order of `seq`.
   */
  captions: Caption[];
  /**
   * The newest of the feed.
   */
  seq: number;
  state: State;
  reason?: string;
  /**
   * Speech is being captioned.
   */
  captioning: boolean;
}
export interface JoinAnswer {
  ok: true;
  participant: Id;
  participants: Participant[];
  ice_servers: IceServer[];
  /**
   * Finals, in order of `seq`.
   */
  captions: Caption[];
  /**
   * The newest of the feed.
   */
  seq: number;
  state: State;
  reason?: string;
  /**
   * Speech is being captioned.
   */
  captioning: boolean;
}
export interface Participant {
  id: Id;
  name: string;
  language: Language;
  captioned: boolean;
  /**
   * Their audio arrives at the captioner.
   */
  publishing: boolean;
}
/**
 * As in `RTCIceServer`.
 */
export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}
export interface UpdateAnswer {
  ok: true;
  participant?: Participant;
}
export interface OfferAnswer {
  ok: true;
  sdp: string;
  type: "answer";
}
export interface OlderTranscript {
  /**
   * The id of the call.
   */
  call_uuid: string;
  speaker: string;
  /**
   * The whole text of the caption, in the place of its partials before.
   */
  transcript: string;
  /**
   * More of it is to come, by the same speaker.
   */
  is_partial: boolean;
  /**
   * When what was said ended, in milliseconds since the Unix epoch.
   */
  timestamp: number;
}
export interface ParticipantEvent {
  event: "joined" | "updated" | "left";
  participant: Participant;
}
export interface CallState {
  state: State;
  reason?: string;
  /**
   * Speech is being captioned.
   */
  captioning: boolean;
}
export interface Reoffer {
  reason: string;
}
/**
 * `data` is opaque, as it was sent.
 */
export interface PeerSignal {
  from: Id;
  data: unknown;
}
export interface StartTranscription {
  /**
   * A BCP 47 tag; `auto` asks for detection.
   */
  language_code?: string;
  call?: Id;
  name?: Name;
  custom_vocabulary?: Vocabulary1;
  /**
   * A session to go on with; its finals are told again.
   */
  session?: string;
  /**
   * With `session`: finals after this `seq` are wanted.
   */
  since?: number;
}
export interface AudioChunk {
  /**
   * Bytes, or base64: 100 to 200 ms of audio, at most a second.
   */
  chunk: string;
}
export interface Connected {
  status: "connected";
}
export interface TranscriptionStarted {
  status: "started" | "resumed";
  message: string;
  language_code: Language;
  /**
   * For `start_transcription`, should this socket be lost.
   */
  session: string;
  call: Id;
  participant: Id;
  /**
   * Audio that has come so far.
   */
  received_ms: number;
}
export interface StartedAnswer {
  ok: true;
  status: "started" | "resumed";
  message: string;
  language_code: Language;
  session: string;
  call: Id;
  participant: Id;
  received_ms: Milliseconds;
}
export interface ReceivedAnswer {
  ok: true;
  /**
   * Audio that has come so far.
   */
  received_ms: number;
}
export interface StoppedAnswer {
  ok: true;
  status: "stopped";
  message: string;
}
export interface TranscriptionStopped {
  /**
   * `ended`: by the call or the server, not by the client.
   */
  status: "stopped" | "ended";
  message: string;
}
export interface Configure {
  type: "configure";
  /**
   * The token, in the first message.
   */
  api_key?: string;
  config?: Config;
}
/**
 * What is not there stays as it is, `linear16` at 16000 Hz to begin with.
 */
export interface Config {
  encoding?: Encoding;
  sample_rate?: SampleRate;
  language?: Language;
  interim_results?: boolean;
  custom_vocabulary?: Vocabulary;
  call?: Id;
  name?: Name;
}
export interface Audio {
  type: "audio";
  /**
   * Base64.
   */
  data: string;
}
export interface KeepAlive {
  type: "keep_alive";
}
export interface Token {
  type: "token";
  token: string;
}
export interface TokenExpiring {
  type: "token_expiring";
  expired: boolean;
  closes_in_ms: number;
}
export interface CloseStream {
  type: "close_stream";
}
/**
 * What is heard of an utterance so far; a later message of the same `utterance` replaces it.
 */
export interface Interim {
  type: "interim";
  transcript: string;
  confidence: number | null;
  /**
   * Seconds since the session's first audio.
   */
  start: number;
  /**
   * Seconds of speech.
   */
  duration: number;
  is_final: false;
  /**
   * When this was made.
   */
  timestamp: string;
  language: string;
  utterance: Id;
  revision: number;
}
export interface Final {
  type: "final";
  transcript: string;
  confidence: number | null;
  /**
   * Seconds since the session's first audio.
   */
  start: number;
  /**
   * Seconds of speech.
   */
  duration: number;
  is_final: true;
  /**
   * When this was made.
   */
  timestamp: string;
  language: string;
  utterance: Id;
  revision: number;
  words: SpokenWord[];
}
export interface SpokenWord {
  word: string;
  /**
   * Seconds since the session's first audio.
   */
  start: number;
  /**
   * Seconds since the session's first audio.
   */
  end: number;
  confidence: number;
}
export interface Fault {
  type: "error";
  error: {
    code:
      | "INVALID_AUDIO_FORMAT"
      | "INVALID_MESSAGE"
      | "UNAUTHORIZED"
      | "FORBIDDEN"
      | "NOT_FOUND"
      | "TOO_LARGE"
      | "RATE_LIMITED"
      | "OVERLOADED"
      | "UNAVAILABLE"
      | "CONFLICT"
      | "SESSION_EXPIRED";
    message: string;
  };
}
/**
 * Other fields are ignored.
 */
export interface Metadata {
  /**
   * Without one the call is a new one.
   */
  call?: string;
  /**
   * Hz; of Opus it says nothing.
   */
  rate?: 8000 | 16000 | 48000;
  /**
   * 2 for the mix `stereo`: the caller, then the callee.
   */
  channels?: 1 | 2;
  /**
   * The speakers' names by channel.
   *
   * @maxItems 2
   */
  names?: [] | [Name] | [Name, Name];
  /**
   * What they speak; one is for both.
   *
   * @maxItems 2
   */
  languages?: [] | [Language] | [Language, Language];
  /**
   * Partials, too; false unless told.
   */
  interim_results?: boolean;
  /**
   * The token.
   */
  api_key?: string;
}
export interface ChannelCaption {
  type: "transcription";
  channel: 1 | 2;
  data: Caption;
}
export interface SwitchError {
  type: "error";
  data: ErrorBody;
}
