// What a rater has seen of one trial, and whether that suffices for an answer. Times are in milliseconds.

/** Each picture must have been on the screen for this long before an answer counts. */
export const LEAST_EXPOSURE_MS = 500;

/** A to B and back again. */
export const LEAST_FLIPS = 2;

export class Viewing {
  #exposure = { 1: 0, 2: 0 };
  #slot = null;
  #since = null;
  flips = 0;
  firstPaint = null;

  /** Picture `slot` reached the screen at time `at`. */
  painted(slot, at) {
    this.paused(at);
    if (this.#slot !== null && this.#slot !== slot) this.flips += 1;
    this.#slot = slot;
    this.#since = at;
    this.firstPaint ??= at;
  }

  /** The picture left the screen at `at`: flipped away, or the page was hidden. */
  paused(at) {
    if (this.#since === null) return;
    this.#exposure[this.#slot] += Math.max(0, at - this.#since);
    this.#since = null;
  }

  exposure(slot, at) {
    const current = this.#since !== null && this.#slot === slot ? Math.max(0, at - this.#since) : 0;
    return this.#exposure[slot] + current;
  }

  /** Visible time of A and B together. */
  exposureTotal(at) {
    return this.exposure(1, at) + this.exposure(2, at);
  }

  /** What an answer still lacks: `{ looks: [slots], flip: boolean, wait: ms }`, or null when nothing. */
  missing(at) {
    const looks = [1, 2].filter((slot) => this.exposure(slot, at) < LEAST_EXPOSURE_MS);
    const flip = this.flips < LEAST_FLIPS;
    if (!looks.length && !flip) return null;
    const current = looks.includes(this.#slot) && this.#since !== null;
    return { looks, flip, wait: current ? LEAST_EXPOSURE_MS - this.exposure(this.#slot, at) : null };
  }
}
