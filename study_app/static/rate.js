// A session: one trial after another, each shown at once, each answer kept until the server has it.

import { Outbox, uuid } from "./answers.js";
import { listen } from "./keys.js";
import { Refused, pause, request, untilReached } from "./network.js";
import { AlteredPicture, Deck } from "./pictures.js";
import { magnification, painted, place, watch } from "./pixels.js";
import * as screen from "./screen.js";
import { Viewing } from "./viewing.js";

const LEAST_PAUSE_MS = 3000;
const REFUSALS_BEFORE_GIVING_UP = 3;

class Session {
  #outbox = new Outbox({ trouble: screen.connection("answers"), refused: (...args) => this.#refused(...args) });
  #queue = []; // trials to come, in the server's order
  #loading = new Map(); // trial -> { deck: Deck or null, error: why there is none }
  #answered = new Set();
  #done = 0;
  #total = 0;
  #deck = null; // what is on the screen
  #viewing = null;
  #slot = null;
  #chosen = null;
  #paint = 0; // number of the latest change of picture
  #timer = null;
  #syncing = null;
  #again = false;
  #refusedPictures = 0;
  #halted = false;

  start() {
    const commands = {
      showA: () => this.#show(1),
      showB: () => this.#show(2),
      flip: () => this.#show(3 - this.#slot),
      chooseA: () => this.#choose(1),
      chooseB: () => this.#choose(2),
      confirm: () => this.#confirm(),
      withdraw: () => this.#choose(null),
    };
    screen.connect(commands);
    listen(commands, screen.isVisible);
    watch(screen.surroundings, () => {
      this.#visibilityChanged();
      this.#place();
    });
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
    this.#guide();
    this.#place();
    this.#sync();
  }

  // From and to the server ------------------------------------------------------------------------

  /** Sends what is pending, then asks what comes next; once more if an answer was given meanwhile. */
  #sync() {
    this.#again = true;
    this.#syncing ??= this.#exchange().finally(() => {
      this.#syncing = null;
    });
  }

  async #exchange() {
    try {
      while (this.#again) {
        this.#again = false;
        await this.#outbox.flush();
        const state = await untilReached(
          () => request("/api/trials", (response) => response.json()),
          screen.connection("trials"),
        );
        await this.#take(state);
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#halt(`This session cannot go on: ${error.message}.`, { href: "/", text: "To the start page" });
    }
  }

  async #take({ progress, complete, trials }) {
    if (this.#halted) return;
    const pending = this.#outbox.pending;
    for (const { trial } of pending) this.#answered.add(trial);
    this.#done = progress.done + pending.length;
    this.#total = progress.total;
    this.#queue = trials.filter(({ trial }) => !this.#answered.has(trial));
    const wanted = new Set(this.#queue.map(({ trial }) => trial));
    if (this.#deck && !wanted.has(this.#deck.trial.trial)) this.#clear(); // taken back by the server
    for (const [trial, { deck }] of this.#loading) {
      if (!wanted.has(trial)) {
        deck?.remove();
        this.#loading.delete(trial);
      }
    }
    if (complete && !pending.length) {
      window.location.replace("/thanks");
      return;
    }
    screen.progress(this.#done, this.#total);
    for (const trial of this.#queue) this.#load(trial);
    if (!this.#deck) this.#advance();
    if (!this.#queue.length && !pending.length) {
      screen.waiting("Waiting for the next pictures…");
      await pause(LEAST_PAUSE_MS);
      this.#again = true;
    }
  }

  #refused(judgment, error) {
    // Whether the trial is still open, and to be answered again, is for the server to say.
    this.#answered.delete(judgment.trial);
    // Another tab of the same session answered first: the answer that counts is there already.
    if (error.status === 409) return;
    screen.refusal(`One answer could not be stored: ${error.message}.`);
  }

  async #load(trial) {
    if (this.#loading.has(trial.trial)) return;
    const entry = { deck: null, error: null };
    this.#loading.set(trial.trial, entry);
    try {
      entry.deck = await Deck.load(trial, screen.frames, screen.connection(`pictures ${trial.trial}`));
    } catch (error) {
      entry.error = error;
      if (!this.#deck) this.#advance(); // else the present trial goes on first
      return;
    }
    if (this.#loading.get(trial.trial) !== entry) entry.deck.remove();
    else if (!this.#deck) this.#advance();
  }

  #pictureFailed(error) {
    if (error instanceof AlteredPicture) {
      this.#halt(
        `${error.message} Something between the server and this page changes pictures: ` +
          "turn off data savers, proxies and extensions that do so, then try again.",
        { href: "/rate", text: "Try again" },
      );
      return;
    }
    if (!(error instanceof Refused)) throw error;
    this.#refusedPictures += 1;
    if (this.#refusedPictures < REFUSALS_BEFORE_GIVING_UP) this.#sync();
    else this.#halt(`The pictures cannot be had: ${error.message}.`, { href: "/rate", text: "Try again" });
  }

  // On the screen ---------------------------------------------------------------------------------

  /** Ends the session on this page; answers that are on their way still arrive. */
  #halt(text, link) {
    this.#halted = true;
    this.#clear();
    this.#queue = [];
    for (const { deck } of this.#loading.values()) deck?.remove();
    this.#loading.clear();
    screen.waiting(text, link);
  }

  #clear() {
    this.#paint += 1;
    clearTimeout(this.#timer);
    if (this.#deck) {
      this.#loading.delete(this.#deck.trial.trial);
      this.#deck.remove();
    }
    this.#deck = null;
    this.#viewing = null;
    this.#slot = null;
    this.#chosen = null;
    screen.shown(null);
    this.#guide();
  }

  /** Shows the next trial in this very task if its pictures are decoded; else says what is waited for. */
  #advance() {
    if (this.#halted) return;
    const [next] = this.#queue;
    if (!next) {
      screen.waiting(this.#outbox.pending.length ? "Saving your answers…" : "Loading the pictures…");
      return;
    }
    const { deck = null, error = null } = this.#loading.get(next.trial) ?? {};
    if (error) {
      this.#loading.delete(next.trial);
      this.#pictureFailed(error);
      return;
    }
    if (!deck) {
      place(Object.values(screen.frames), next.width, next.height); // keeps their room
      screen.waiting("Loading the pictures…");
      return;
    }
    this.#deck = deck;
    this.#viewing = new Viewing();
    this.#chosen = null;
    screen.progress(this.#done, this.#total);
    screen.waiting(null);
    this.#place();
    this.#show(1);
    screen.announce(`Trial ${this.#done + 1} of ${this.#total}. Picture A is shown.`);
  }

  #place() {
    if (!this.#deck) {
      screen.checkSize(); // the buttons are where they will be
      return;
    }
    const { width, height } = this.#deck.trial;
    const frames = Object.values(screen.frames);
    place(frames, width, height);
    screen.checkSize();
    place(frames, width, height);
  }

  #show(slot) {
    if (!this.#deck || slot === this.#slot) return;
    const first = this.#slot === null;
    this.#viewing.paused(performance.now());
    this.#slot = slot;
    this.#deck.show(slot);
    screen.shown(slot);
    if (!first) screen.announce(`Picture ${slot === 1 ? "A" : "B"} is shown.`);
    this.#noteWhenPainted();
    this.#guide();
  }

  async #noteWhenPainted() {
    this.#paint += 1;
    const paint = this.#paint;
    await painted();
    if (paint !== this.#paint || !screen.isVisible()) return;
    this.#viewing.painted(this.#slot, performance.now());
    this.#guide();
  }

  #visibilityChanged() {
    if (!this.#deck) return;
    if (screen.isVisible()) this.#noteWhenPainted();
    else this.#viewing.paused(performance.now());
  }

  #guide() {
    clearTimeout(this.#timer);
    const missing = this.#viewing?.missing(performance.now()) ?? null;
    screen.guide({ missing, flips: this.#viewing?.flips ?? 0, slot: this.#slot, chosen: this.#chosen });
    if (missing?.wait != null) this.#timer = setTimeout(() => this.#guide(), missing.wait + 1);
  }

  // Answers ---------------------------------------------------------------------------------------

  #choose(slot) {
    if (!this.#deck) return;
    if (slot && this.#viewing.missing(performance.now())) {
      screen.nudge();
      return;
    }
    this.#chosen = slot;
    this.#guide();
  }

  #confirm() {
    if (!this.#deck) return;
    if (!this.#chosen) {
      screen.nudge();
      return;
    }
    const now = performance.now();
    const { trial, width } = this.#deck.trial;
    this.#viewing.paused(now);
    this.#outbox.add({
      client_uuid: uuid(),
      trial,
      choice: this.#chosen,
      response_ms: Math.round(now - this.#viewing.firstPaint),
      exposure_ms: Math.round(this.#viewing.exposureTotal(now)),
      flips: this.#viewing.flips,
      magnification: magnification(screen.frames.test, width),
      device_pixel_ratio: window.devicePixelRatio,
      viewport: `${window.innerWidth}x${window.innerHeight}`,
    });
    this.#answered.add(trial);
    this.#queue = this.#queue.filter((other) => other.trial !== trial);
    this.#done += 1;
    this.#clear();
    this.#advance();
    this.#sync();
  }
}

// A page that the browser kept in memory shows a trial that may be long gone.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

new Session().start();
