// Shows a message when a request fails: hx-status cannot handle a request without any response,
// and it cannot tell a proxy's error page, which must not be swapped in, from a response of Roster.
const messageText = (id) => htmx.find(id).content.textContent.trim();

// Runs by itself while somebody types, so its failure is not shown.
const isFieldCheck = ({ target }) => target.matches?.("input");

const showRequestError = (event) => {
  if (isEventStream(event) || isFieldCheck(event)) return;
  // A form that was sent may have arrived; for a search that makes no difference.
  const isRowForm = event.target.matches?.("#users form");
  const section = isRowForm ? htmx.find("#organiser") : event.target.closest?.("#register, #account, #organiser");
  htmx.find(section ? `#${section.id}-message` : "#notice").textContent = messageText(
    section ? "#no-answer-message" : "#offline-message",
  );
};

htmx.on("htmx:error", showRequestError);

htmx.on("htmx:before:response", (event) => {
  const { status, headers } = event.detail.ctx.response;
  if (status < 400 || isEventStream(event)) return;
  // web/cache_headers.py puts it there.
  const isFromRoster = headers.get("Vary")?.includes("HX-Request");
  if (isFromRoster && !(isFieldCheck(event) && status >= 500)) return;
  event.preventDefault();
  showRequestError(event);
});

// The notice disappears with the next request, or when the connection is back.
htmx.on("htmx:before:request", (event) => {
  if (!isEventStream(event) && !isFieldCheck(event)) htmx.find("#notice").textContent = "";
});
htmx.on("live", () => {
  for (const place of htmx.findAll("#register-message, #account-message, #organiser-message, #notice")) {
    if (place.textContent === messageText("#offline-message")) place.textContent = "";
  }
});
