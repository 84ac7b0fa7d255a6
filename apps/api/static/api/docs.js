// Swagger UI over this host's own document. What is typed in as a key lives in this page only.
const operations = document.getElementById("operations");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);

dark.addEventListener("change", follow);
follow();
window.SwaggerUIBundle({
  domNode: operations,
  url: operations.dataset.document,
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null, // asks no other host
  queryConfigEnabled: false, // ?url= in the address names no other document
});
