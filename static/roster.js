// What HTMX's attributes cannot say: a request that got no answer at all, in the page's own words.
document.addEventListener("htmx:error", (event) => {
  const place = event.target.closest("#register") ? "#register-message" : "#notice";
  document.querySelector(place).textContent = document.body.dataset.offline;
});

document.addEventListener("htmx:before:request", () => {
  document.querySelector("#notice").textContent = "";
});
