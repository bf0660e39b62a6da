// What the gateway serves as `/client/surtitle-captions.js`: the element with all that it
// needs, connecting to where the script came from.

import { SurtitleCaptions } from "./element";

SurtitleCaptions.server = new URL(import.meta.url).origin;
