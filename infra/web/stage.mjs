// Copies what the pages need from node_modules to a folder, ready to be embedded.
// Usage: node stage.mjs <node_modules> <target folder>
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [modules, target] = process.argv.slice(2);

// Redoc shows its maker's logo from the maker's CDN. The pages must work without internet and tell nobody
// that they were opened, so the address is replaced by an empty picture, which Redoc then hides.
const redocLogo = "https://cdn.redoc.ly/redoc/logo-mini.svg";
const emptyPicture = "data:,";

const texts = [
  { from: "swagger-ui-dist/swagger-ui.css", to: "swagger-ui.css" },
  { from: "swagger-ui-dist/swagger-ui-bundle.js", to: "swagger-ui-bundle.js" },
  { from: "redoc/bundles/redoc.standalone.js", to: "redoc.standalone.js", replace: [redocLogo, emptyPicture] },
  // Preact and its templates in one module of 13 kB: all that the console takes from others.
  { from: "htm/preact/standalone.module.js", to: "console/htm-preact.js" },
];

// The licences ask that these texts go where the code goes.
const copies = [
  { from: "swagger-ui-dist/LICENSE", to: "swagger-ui.LICENSE.txt" },
  { from: "swagger-ui-dist/NOTICE", to: "swagger-ui.NOTICE.txt" },
  { from: "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt", to: "swagger-ui-bundle.js.LICENSE.txt" },
  { from: "redoc/LICENSE", to: "redoc.LICENSE.txt" },
  { from: "htm/LICENSE", to: "console/htm.LICENSE.txt" },
  { from: "redoc/bundles/redoc.standalone.js.LICENSE.txt", to: "redoc.standalone.js.LICENSE.txt" },
];

// The source maps are not embedded; without this, opening the developer tools asks for them in vain.
const withoutSourceMap = (text) => text.replace(/^(\/\/|\/\*)# sourceMappingURL=.*$/m, "");

rmSync(target, { recursive: true, force: true });
mkdirSync(join(target, "console"), { recursive: true });
for (const { from, to, replace } of texts) {
  let text = readFileSync(join(modules, from), "utf8");
  if (replace) {
    if (!text.includes(replace[0])) throw new Error(`${from} no longer contains ${replace[0]}`);
    text = text.replaceAll(replace[0], replace[1]);
  }
  writeFileSync(join(target, to), withoutSourceMap(text));
}
for (const { from, to } of copies) copyFileSync(join(modules, from), join(target, to));
