// Captions beside the stock VideoRoom demo of Janus. In its videoroomtest.html, behind
// `videoroomtest.js`, one line:
//
//   <script type="module" src="captions.js?server=http://127.0.0.1:8080"></script>
//
// The room needs a call of the same id in Surtitle (README.md beside this file says how).
// With `--secret`: `&token=…` in the page's own address, a token with the grant `watch`.

const server = new URL(import.meta.url).searchParams.get("server") ?? "http://127.0.0.1:8080";
await import(`${server}/client/surtitle-captions.js`);

const captions = document.createElement("surtitle-captions");
captions.setAttribute("call", `room-${window.myroom}`); // the demo's own variable
captions.token = new URLSearchParams(location.search).get("token");
captions.style.cssText = "position: fixed; z-index: 10; inset: auto 10% 2%; max-height: 40%; pointer-events: none";
document.body.append(captions);
