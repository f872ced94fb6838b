// Tells screen readers the new total and the result of a search: aria-live on the list would read all of it,
// and on the total every single change.
const ANNOUNCEMENT_INTERVAL = 5_000; // milliseconds
const totalText = () => htmx.find("#total")?.textContent.trim();
let announcedTotal = totalText();
let announcementTimer;

const announce = (text) => {
  const region = htmx.find("#announcement");
  // A screen reader says the same text again only if it differs: hence the no-break space.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
};

const announceTotal = () => {
  announcementTimer = undefined;
  if (totalText() === announcedTotal) return;
  announcedTotal = totalText();
  announce(announcedTotal);
};

htmx.on("htmx:sse:after:message", () => {
  announcementTimer ??= setTimeout(announceTotal, ANNOUNCEMENT_INTERVAL);
});

htmx.on("htmx:after:swap", ({ target, detail }) => {
  const { request, response } = detail.ctx;
  const isHistoryRestore = request.headers["HX-History-Restore-Request"];
  if (response.status >= 400 || !(isHistoryRestore || target.closest?.("#search, #users"))) return;
  announce(htmx.find("#users-title").textContent);
});
