// Moves the focus when a swap has removed the link or button that had it: HTMX only restores it by id.
htmx.on("htmx:after:swap", ({ target }) => {
  if (document.activeElement !== document.body) return;
  if (target.closest?.("#users")) htmx.find("#users-title").focus();
  if (target.closest?.("#account")) htmx.find("#account-message").focus();
  if (target.closest?.("#organiser")) htmx.find("#organiser-message").focus();
});
