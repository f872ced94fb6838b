// Keeps a form of the organiser's as it is while somebody edits it: morphing would change what it was sent for,
// and attributes cannot say that a field was edited.
htmx.on("input", ({ target }) => target.closest("#organiser form")?.setAttribute("hx-morph-skip", ""));
// The answer to the form itself says what it shows from now on.
htmx.on("htmx:before:swap", ({ target }) => {
  if (target.matches?.("#organiser form")) target.removeAttribute("hx-morph-skip");
});
// HTMX focuses what has autofocus in all that it swaps: each later event would take the focus to a refused field.
htmx.on("htmx:after:swap", () => {
  for (const field of htmx.findAll("#organiser-panel [autofocus]")) field.removeAttribute("autofocus");
});
