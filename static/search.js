// Keeps the search field and the address the same: HTMX changes the address, but not the field.
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
