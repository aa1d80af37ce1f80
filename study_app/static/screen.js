// The elements of the trial page, and the words on it.

const byId = (id) => document.getElementById(id);
const NAMES = { 1: "A", 2: "B" };

const elements = {
  rating: document.querySelector(".rating"),
  pair: document.querySelector(".pair"),
  stage: byId("stage"),
  test: byId("frame-test"),
  reference: byId("frame-reference"),
  label: byId("label-test"),
  waiting: byId("waiting"),
  hint: byId("hint"),
  announcement: byId("announcement"),
  connection: byId("notice-connection"),
  size: byId("notice-size"),
  refusal: byId("notice-refusal"),
  progressText: byId("progress-text"),
  progressBar: byId("progress-bar"),
  show: { 1: byId("show-a"), 2: byId("show-b") },
  choose: { 1: byId("choose-a"), 2: byId("choose-b") },
  confirm: byId("confirm"),
};

/** Whatever can move the pictures by changing its own size. */
export const surroundings = [...document.querySelectorAll(".rating > header, .stage, .controls")];

export const frames = { test: elements.test, reference: elements.reference };

/** Whether the trial can be seen: the tab is in front, and the window not too small for rating. */
export function isVisible() {
  return document.visibilityState === "visible" && elements.rating.getClientRects().length > 0;
}

/** Calls `commands[name]()` for the buttons; a pointer leaves the focus on the stage, where keys are read. */
export function connect(commands) {
  const actions = [
    [elements.show[1], "showA"],
    [elements.show[2], "showB"],
    [elements.choose[1], "chooseA"],
    [elements.choose[2], "chooseB"],
    [elements.confirm, "confirm"],
  ];
  for (const [button, name] of actions) {
    button.addEventListener("click", (event) => {
      commands[name]();
      if (event.detail > 0) elements.stage.focus({ preventScroll: true });
    });
  }
}

export function progress(done, total) {
  elements.progressText.value = `${Math.min(done + 1, total)} of ${total}`;
  elements.progressBar.max = Math.max(total, 1);
  elements.progressBar.value = done;
}

export function announce(text) {
  elements.announcement.textContent = text;
}

/** Covers the stage with a message, a link to go on from there if given; null uncovers it. */
export function waiting(text, link = null) {
  elements.waiting.hidden = text === null;
  if (text === null) return;
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  elements.waiting.replaceChildren(paragraph);
  if (!link) return;
  const anchor = document.createElement("a");
  anchor.className = "button";
  anchor.href = link.href;
  anchor.textContent = link.text;
  elements.waiting.append(anchor);
}

/** Marks picture `slot` as the one on the screen; null when there is none. */
export function shown(slot) {
  elements.label.textContent = slot ? `Picture ${NAMES[slot]}` : "";
  elements.test.setAttribute("aria-label", slot ? `Picture ${NAMES[slot]}` : "No picture yet");
  for (const key of [1, 2]) elements.show[key].setAttribute("aria-pressed", String(key === slot));
}

function hintFor({ missing, flips, slot, chosen }) {
  if (missing?.flip) {
    return flips === 0
      ? "Flip to B and back to A before you answer: Space, or 1 and 2."
      : `Flip back to ${NAMES[3 - slot]} once more before you answer.`;
  }
  if (missing) {
    return `Look at ${missing.looks.map((key) => NAMES[key]).join(" and ")} a moment longer before you answer.`;
  }
  return chosen
    ? `${NAMES[chosen]} is chosen. Enter confirms, Esc takes it back.`
    : "Flip as often as you like. Then choose: ← for A, → for B.";
}

/** Says what an answer still lacks, and shows which buttons act. */
export function guide({ missing, flips, slot, chosen }) {
  const text = slot ? hintFor({ missing, flips, slot, chosen }) : "";
  if (elements.hint.textContent !== text) elements.hint.textContent = text;
  const locked = !slot || Boolean(missing);
  for (const key of [1, 2]) {
    elements.choose[key].setAttribute("aria-disabled", String(locked));
    elements.choose[key].setAttribute("aria-pressed", String(key === chosen));
  }
  elements.confirm.setAttribute("aria-disabled", String(locked || !chosen));
  elements.confirm.classList.toggle("ready", !locked && Boolean(chosen));
}

/** Draws the eye to the hint after an answer that does not count yet. */
export function nudge() {
  elements.hint.classList.remove("nudge");
  void elements.hint.offsetWidth; // restarts the animation
  elements.hint.classList.add("nudge");
  announce(elements.hint.textContent);
}

const failing = new Set();

/** A function that hears whether requests for `what` fail; the notice stays until none does. */
export function connection(what) {
  return (isFailing) => {
    if (isFailing) failing.add(what);
    else failing.delete(what);
    elements.connection.hidden = failing.size === 0;
  };
}

export function refusal(text) {
  elements.refusal.textContent = text;
  elements.refusal.hidden = false;
}

/** As high as any browser's; some take no room at all. */
const SCROLLBAR_PX = 17;

/** Gives the stage the room of the study's largest picture; whether the window has less than that. */
function reserve() {
  const { rating, stage, pair } = elements;
  const ratio = window.devicePixelRatio;
  const tallest = Math.ceil(rating.dataset.tallest / ratio);
  const padding = getComputedStyle(stage);
  const around = parseFloat(padding.paddingLeft) + parseFloat(padding.paddingRight);
  const widest = (2 * rating.dataset.widest) / ratio + parseFloat(getComputedStyle(pair).columnGap) + around;
  // Of the stage with its scrollbar, which one trial may have and the next not.
  const isWide = widest > stage.offsetWidth + 1;
  rating.style.setProperty("--tallest", `${tallest}px`);
  rating.style.setProperty("--scrollbar", isWide ? `${SCROLLBAR_PX}px` : "0px");
  const caption = elements.label.offsetHeight;
  return isWide || caption + tallest > stage.offsetHeight + 1;
}

/** Says that the pictures are larger than the window, when they are. */
export function checkSize() {
  elements.size.hidden = true;
  elements.size.hidden = !reserve();
  const { scrollWidth, clientWidth, scrollHeight, clientHeight } = elements.stage;
  // These are rounded, each for itself: one pixel more is none.
  const fits = scrollWidth <= clientWidth + 1 && scrollHeight <= clientHeight + 1;
  elements.size.classList.toggle("unneeded", fits);
  // Tab leads to pictures that scroll, so that a keyboard can scroll them.
  elements.stage.tabIndex = fits ? -1 : 0;
}
