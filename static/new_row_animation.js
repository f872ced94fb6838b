// Moves a new row into the list: CSS would also animate the rows of every page that is opened.
const ARRIVAL_INTERVAL = 400; // milliseconds: nothing moves or flashes more than three times a second (WCAG 2.3.1)
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
let idsBeforeSwap = new Set();
let lastArrival = -ARRIVAL_INTERVAL;
const rows = () => [...document.querySelectorAll("#newest li")];

htmx.on("htmx:before:swap", () => {
  idsBeforeSwap = new Set(rows().map(({ id }) => id));
});
htmx.on("htmx:after:swap", (event) => {
  if (reducedMotion.matches || performance.now() - lastArrival < ARRIVAL_INTERVAL) return;
  if (!isEventStream(event) && !event.target.closest?.("#register")) return;
  for (const row of rows()) {
    if (idsBeforeSwap.has(row.id)) continue;
    lastArrival = performance.now();
    row.animate({ translate: ["0 -1rem", "0 0"] }, { duration: ARRIVAL_INTERVAL, easing: "ease-out" });
  }
});
