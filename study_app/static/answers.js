// The outbox: an answer is written down before it is sent, and struck out when the server has it.

import { Refused, request, untilReached } from "./network.js";

const KEY = "matchrate.answers";

/** A random UUID, version 4; `crypto.randomUUID` exists in secure contexts only. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const send = (judgment) =>
  request("/api/judgments", (response) => response.json(), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(judgment),
  });

/**
 * Judgments that the server has not acknowledged yet, oldest first.
 *
 * They live in localStorage, so that a reload neither loses one nor, thanks to its `client_uuid`, doubles
 * one. A browser without storage keeps them in memory.
 */
export class Outbox {
  #memory = null; // the judgments, when they cannot be stored
  #sending = null;
  #trouble;
  #refused;

  /** `trouble(isFailing)` hears of an unreachable server, `refused(judgment, error)` of a refusal. */
  constructor({ trouble, refused }) {
    this.#trouble = trouble;
    this.#refused = refused;
  }

  get pending() {
    if (this.#memory) return this.#memory;
    try {
      const stored = JSON.parse(localStorage.getItem(KEY));
      return Array.isArray(stored) ? stored : [];
    } catch {
      return [];
    }
  }

  #keep(judgments) {
    try {
      if (judgments.length) localStorage.setItem(KEY, JSON.stringify(judgments));
      else localStorage.removeItem(KEY);
      this.#memory = null;
    } catch {
      // Storage is full or forbidden, though it may still be readable: the answer is kept here and gets sent.
      this.#memory = judgments;
    }
  }

  add(judgment) {
    this.#keep([...this.pending, judgment]);
  }

  /** Sends all that is pending; resolves when nothing is. */
  flush() {
    this.#sending ??= this.#drain().finally(() => {
      this.#sending = null;
    });
    return this.#sending.then(() => (this.pending.length ? this.flush() : undefined));
  }

  async #drain() {
    for (let [first] = this.pending; first; [first] = this.pending) {
      try {
        await untilReached(() => send(first), this.#trouble);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.#refused(first, error);
      }
      this.#keep(this.pending.filter((judgment) => judgment.client_uuid !== first.client_uuid));
    }
  }
}
