/** Who listens to what; `Events` has the arguments of each event. */
export class Emitter<Events extends { [Name in keyof Events]: unknown[] }> {
  readonly #listeners: { [Name in keyof Events]?: Set<(...payload: Events[Name]) => void> } = {};

  /** Returns what takes the listener away again. */
  on<Name extends keyof Events>(event: Name, listener: (...payload: Events[Name]) => void): () => void {
    const listeners = (this.#listeners[event] ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  protected emit<Name extends keyof Events>(event: Name, ...payload: Events[Name]): void {
    for (const listener of [...(this.#listeners[event] ?? [])]) listener(...payload);
  }
}
