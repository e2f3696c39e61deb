// In a file of its own because the page's Content-Security-Policy forbids inline scripts.
Redoc.init("/openapi.json", { nativeScrollbars: true }, document.getElementById("redoc"));
