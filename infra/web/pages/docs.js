// In a file of its own because the page's Content-Security-Policy forbids inline scripts.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  // By default Swagger UI asks a validator on the internet about the document.
  validatorUrl: null,
});
