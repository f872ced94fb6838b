// Animates a new user and a new total: CSS would also animate the rows of every page that is opened.
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
let keysBeforeSwap = new Set();

const animatedElements = () => [...document.querySelectorAll("#newest li, #count")];
const elementKey = (element) => (element.id === "count" ? element.textContent : element.id);

const animateArrival = (element) => {
  const keyframes = { opacity: [0, 1], translate: ["0 -0.5rem", "0 0"] };
  element.animate(keyframes, { duration: 400, easing: "ease-out" });
};

htmx.on("htmx:before:swap", () => {
  keysBeforeSwap = new Set(animatedElements().map(elementKey));
});
htmx.on("htmx:after:swap", (event) => {
  if (reducedMotion.matches) return;
  if (!isEventStream(event) && !event.target.closest?.("#register")) return;
  for (const element of animatedElements()) {
    if (!keysBeforeSwap.has(elementKey(element))) animateArrival(element);
  }
});
