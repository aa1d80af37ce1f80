// The three pictures of a trial: fetched, mounted and decoded before any of them is shown.

import { painted } from "./pixels.js";
import { request, untilReached } from "./network.js";

/** Half a megabyte over a slow line takes its time; a request that is given up starts from nothing. */
const PICTURE_LIMIT_MS = 120_000;

/** A picture that arrived is not the one that was sent. */
export class AlteredPicture extends Error {}

async function mount(url, frame, trial, trouble) {
  const blob = await untilReached(
    () => request(url, (response) => response.blob(), { limit: PICTURE_LIMIT_MS }),
    trouble,
  );
  if (blob.type !== "image/png") {
    throw new AlteredPicture(`A picture arrived as ${blob.type || "something"} instead of image/png.`);
  }
  const image = new Image();
  image.alt = "";
  image.draggable = false;
  image.decoding = "sync"; // else a flip may paint a frame without the picture
  const loaded = new Promise((resolve, reject) => {
    image.addEventListener("load", resolve, { once: true });
    image.addEventListener("error", () => reject(new AlteredPicture("A picture cannot be read.")), { once: true });
  });
  image.src = URL.createObjectURL(blob);
  frame.append(image);
  try {
    await loaded;
    await image.decode();
    if (image.naturalWidth !== trial.width || image.naturalHeight !== trial.height) {
      throw new AlteredPicture(
        `A picture arrived with ${image.naturalWidth} × ${image.naturalHeight} pixels ` +
          `instead of ${trial.width} × ${trial.height}.`,
      );
    }
  } catch (error) {
    discard(image);
    throw error;
  }
  return image;
}

function discard(image) {
  image.remove();
  URL.revokeObjectURL(image.src);
}

/** The mounted pictures of one trial: 1 and 2 stacked in one frame, the reference in another. */
export class Deck {
  #images;

  constructor(trial, images) {
    this.trial = trial;
    this.#images = images;
  }

  /** Fetches, mounts and decodes; `frames` is `{ test, reference }`. */
  static async load(trial, frames, trouble) {
    const slots = ["1", "2", "reference"];
    const mounted = await Promise.allSettled(
      slots.map((slot) =>
        mount(trial.pictures[slot], slot === "reference" ? frames.reference : frames.test, trial, trouble),
      ),
    );
    const failed = mounted.find((result) => result.status === "rejected");
    if (failed) {
      for (const result of mounted) if (result.value) discard(result.value);
      throw failed.reason;
    }
    await painted();
    return new Deck(trial, Object.fromEntries(slots.map((slot, index) => [slot, mounted[index].value])));
  }

  /** Shows the reference and, in the one place that both share, picture `slot`: 1 or 2. */
  show(slot) {
    this.#images.reference.classList.add("shown");
    this.#images[slot].classList.add("shown");
    this.#images[3 - slot].classList.remove("shown");
  }

  remove() {
    for (const image of Object.values(this.#images)) discard(image);
  }
}
