// The keys of a trial. By `code`, since "1" needs Shift on some keyboards.

const COMMANDS = {
  Digit1: "showA",
  Numpad1: "showA",
  Digit2: "showB",
  Numpad2: "showB",
  Space: "flip",
  ArrowLeft: "chooseA",
  ArrowRight: "chooseB",
  Enter: "confirm",
  NumpadEnter: "confirm",
  Escape: "withdraw",
};

/**
 * Calls `commands[name]()` for each key while `isOn()`; keys that are held down, and shortcuts of the browser,
 * are ignored.
 */
export function listen(commands, isOn) {
  document.addEventListener("keydown", (event) => {
    if (!isOn()) return;
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const name = COMMANDS[event.code];
    if (!name) return;
    const focusedControl = event.target instanceof Element && event.target.closest("a, button");
    if (focusedControl && ["flip", "confirm"].includes(name)) return; // its own activation
    event.preventDefault();
    if (!event.repeat) commands[name]();
  });
}
