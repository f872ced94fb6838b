// Marks the user's own row with "you": every page receives the same list, and CSS cannot compare ids.
htmx.on("htmx:after:swap", () => {
  const ownRow = document.getElementById(`user-${htmx.find("#account-panel").dataset.user}`);
  for (const badge of htmx.findAll(".people em")) if (!ownRow?.contains(badge)) badge.remove();
  if (!ownRow || ownRow.querySelector("em")) return;
  ownRow.querySelector("bdi").after(" ", htmx.find("#you-badge").content.cloneNode(true));
});
