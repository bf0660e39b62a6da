// In the page before its own scripts: how long a caption takes from its arrival to the frame that
// shows it, and which frames came late. The page draws a caption while it takes the message, so
// the next frame must have its words; where it has not, that counts as missing.
(() => {
  const figures = (window.figures = { paints: [], missing: 0, frames: [], taken: 0 });
  const Native = window.WebSocket;
  const last = (text) => text.trim().split(/\s+/).at(-1);

  const newest = new Map(); // text of each utterance: a newer one may come within the frame

  const painted = (arrived, { utterance }) => {
    const shown = document.getElementById("overlay").textContent;
    if (!shown.includes(last(newest.get(utterance)))) figures.missing += 1;
    // The message comes behind the frame that this callback is part of.
    const channel = new MessageChannel();
    channel.port1.onmessage = () => figures.paints.push(performance.now() - arrived);
    channel.port2.postMessage(null);
  };

  window.WebSocket = class extends Native {
    constructor(...options) {
      super(...options);
      this.addEventListener("message", ({ data }) => {
        if (typeof data !== "string" || !data.startsWith('42["caption"')) return;
        const arrived = performance.now();
        const caption = JSON.parse(data.slice(2))[1];
        figures.taken += 1;
        newest.set(caption.utterance, caption.text);
        requestAnimationFrame(() => painted(arrived, caption));
      });
    }
  };

  let before = performance.now();
  const frame = (now) => {
    figures.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})();
