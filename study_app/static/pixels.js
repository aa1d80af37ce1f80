// One picture pixel on one device pixel.

/** Resolves once what was changed has been painted: two animation frames. */
export function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => requestAnimationFrame(resolve));
  });
}

/**
 * Gives every frame the size of `width` x `height` device pixels and moves it onto whole ones.
 *
 * At a ratio such as 1.5 centring leaves a box on half a device pixel, and the browser then resamples all
 * of it; the shift is below one device pixel.
 */
export function place(frames, width, height) {
  const ratio = window.devicePixelRatio;
  for (const { style } of frames) {
    style.width = `${width / ratio}px`;
    style.height = `${height / ratio}px`;
    style.left = "0px";
    style.top = "0px";
  }
  // To the left and upwards only: the other way could make the stage scroll by part of a pixel.
  const shift = (edge) => `${(Math.floor(edge * ratio) - edge * ratio) / ratio}px`;
  for (const frame of frames) {
    const box = frame.getBoundingClientRect();
    frame.style.left = shift(box.left);
    frame.style.top = shift(box.top);
  }
}

/** Device pixels for one picture pixel, as laid out. */
export function magnification(frame, width) {
  const measured = (frame.getBoundingClientRect().width * window.devicePixelRatio) / width;
  return Math.round(measured * 1000) / 1000;
}

/** Calls `changed` when the window, its zoom, its screen or one of the `elements` changes its size. */
export function watch(elements, changed) {
  window.addEventListener("resize", changed);
  // In the next frame: changing sizes inside the callback would be an endless loop to the browser.
  const observer = new ResizeObserver(() => requestAnimationFrame(changed));
  for (const element of elements) observer.observe(element);
  const followRatio = () => {
    window
      .matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`)
      .addEventListener("change", () => {
        followRatio();
        changed();
      }, { once: true });
  };
  followRatio();
}
