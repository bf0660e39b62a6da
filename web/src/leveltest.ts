// "Does my microphone hear me?" before joining: opens it on wish, shows how loud it is, and
// gives it back.

import { openDevice } from "./devices";
import { byId } from "./dom";

/** Speech into a headset peaks around this; a meter that never fills says too little. */
const LOUD = 0.3;

export class LevelTest {
  readonly #button = byId<HTMLButtonElement>("microphone-test");
  readonly #meter = byId<HTMLMeterElement>("microphone-level");
  readonly #device: () => string;
  readonly #opened: (problem: string | null) => void;
  #stop: (() => void) | null = null;

  /** `opened` is told when the device is there, or why it is not. */
  constructor(device: () => string, opened: (problem: string | null) => void) {
    this.#device = device;
    this.#opened = opened;
    this.#button.addEventListener("click", () => (this.#stop ? this.stop() : void this.#start()));
    byId("microphone").addEventListener("change", () => this.#stop && void this.#start());
  }

  setOffered(offered: boolean): void {
    this.#button.hidden = !offered;
    if (!offered) this.stop();
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
    this.#button.textContent = "Test it";
    this.#meter.hidden = true;
  }

  async #start(): Promise<void> {
    this.stop();
    let wanted = true;
    this.#stop = () => (wanted = false);
    const { track, problem } = await openDevice("audio", this.#device());
    if (!wanted || !track) {
      track?.stop();
      if (wanted) this.stop();
      return this.#opened(problem);
    }
    this.#button.textContent = "Stop the test";
    this.#meter.hidden = false;
    this.#stop = this.#listen(track);
    this.#opened(null);
  }

  #listen(track: MediaStreamTrack): () => void {
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let frame = 0;
    const draw = (): void => {
      analyser.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      this.#meter.value = Math.min(1, Math.max(peak / LOUD, this.#meter.value * 0.9));
      frame = requestAnimationFrame(draw);
    };
    draw();
    return () => {
      cancelAnimationFrame(frame);
      track.stop();
      void context.close();
    };
  }
}
