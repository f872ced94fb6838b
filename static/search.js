// Keeps the search field and the address the same, and the results in sight: HTMX changes the address only.
const queryInAddress = () => new URLSearchParams(location.search).get("q") ?? "";

// A link may have left the search. While somebody types, the field is ahead of the address.
htmx.on("htmx:after:swap", () => {
  const field = htmx.find("#q");
  if (document.activeElement !== field) field.value = queryInAddress();
});

// The back button changes the field at once, before the list arrives.
window.addEventListener("popstate", () => {
  const field = htmx.find("#q");
  if (field) field.value = queryInAddress(); // there is none on the small pages
});

// A search that failed without a connection is sent again.
htmx.on("live", () => {
  if (!isComposing() && htmx.find("#q").value !== queryInAddress()) htmx.find("#search").requestSubmit();
});

// The same search twice makes one entry in the history.
htmx.on("htmx:before:history:update", (event) => {
  if (event.detail.history.path === location.pathname + location.search) event.preventDefault();
});

// On a phone the list stands below the forms: this brings what was found into sight.
htmx.on("htmx:after:swap", ({ target }) => {
  if (!target.closest?.("#search")) return;
  const { height, offsetTop } = visualViewport; // what a keyboard on the screen leaves
  const { top } = htmx.find("#users-title").getBoundingClientRect();
  if (top - offsetTop > 0.6 * height) htmx.find("#search").scrollIntoView();
});
