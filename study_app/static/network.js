// Requests that tell two failures apart: the server could not be reached, or it said no.

const LONGEST_WAIT_MS = 15_000;
const REQUEST_LIMIT_MS = 20_000;
const WORTH_REPEATING = new Set([408, 425, 429]);

/** The same request may succeed later: no network, a timeout, or an error of the server. */
export class Unreachable extends Error {}

/** The server understood and refused; repeating the request changes nothing. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function reason(response) {
  try {
    return (await response.json()).error || `the server answered ${response.status}`;
  } catch {
    return `the server answered ${response.status}`;
  }
}

/** Fetches and reads with `read(response)`; throws Unreachable, after `limit` ms at the latest, or Refused. */
export async function request(url, read, { limit = REQUEST_LIMIT_MS, ...options } = {}) {
  let response;
  try {
    response = await fetch(url, {
      credentials: "same-origin",
      signal: AbortSignal.timeout(limit),
      ...options,
    });
    if (response.ok) return await read(response);
  } catch (error) {
    throw new Unreachable(String(error));
  }
  const why = await reason(response);
  if (response.status >= 500 || WORTH_REPEATING.has(response.status)) throw new Unreachable(why);
  throw new Refused(response.status, why);
}

/** Milliseconds before the next attempt (0 for the first): doubling, capped, with jitter. */
export function backoff(attempt) {
  const longest = Math.min(LONGEST_WAIT_MS, 500 * 2 ** attempt);
  return longest * (0.75 + 0.25 * Math.random());
}

/** Resolves after `ms`, or as soon as the browser says that the network is back. */
export function pause(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    window.addEventListener("online", done);
  });
}

/** Repeats `attempt()` for as long as it throws Unreachable; `trouble(isFailing)` hears of it. */
export async function untilReached(attempt, trouble) {
  for (let tries = 0; ; tries += 1) {
    try {
      const result = await attempt();
      trouble(false);
      return result;
    } catch (error) {
      if (!(error instanceof Unreachable)) {
        trouble(false);
        throw error;
      }
      trouble(true);
      await pause(backoff(tries));
    }
  }
}
