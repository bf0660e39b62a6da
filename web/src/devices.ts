// Camera and microphone: getting them, and saying in plain words why not.

export type Kind = "audio" | "video";

export interface Opened {
  track: MediaStreamTrack | null;
  /** Why there is no track, for people. */
  problem: string | null;
}

export async function openDevice(kind: Kind, deviceId: string): Promise<Opened> {
  if (!("mediaDevices" in navigator)) {
    return { track: null, problem: "Browsers allow a camera and microphone only over HTTPS or on localhost." };
  }
  const device = deviceId ? { deviceId: { ideal: deviceId } } : {};
  const wanted: MediaStreamConstraints =
    kind === "audio"
      ? { audio: { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true } }
      : { video: { ...device, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { max: 30 } } };
  try {
    const stream = await navigator.mediaDevices.getUserMedia(wanted);
    return { track: stream.getTracks()[0] ?? null, problem: null };
  } catch (error) {
    return { track: null, problem: explain(kind, error) };
  }
}

/** Devices of a kind; browsers give labels only after the first permission. */
export async function listDevices(kind: Kind): Promise<MediaDeviceInfo[]> {
  if (!("mediaDevices" in navigator)) return [];
  try {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((device) => device.kind === `${kind}input` && device.deviceId !== "");
  } catch {
    return [];
  }
}

function explain(kind: Kind, error: unknown): string {
  const device = kind === "audio" ? "microphone" : "camera";
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return `The browser was not allowed to use the ${device}.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No ${device} was found.`;
    case "NotReadableError":
    case "AbortError":
      return `The ${device} is in use by another program.`;
    default:
      return `The ${device} could not be opened.`;
  }
}
