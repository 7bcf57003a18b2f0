import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// Debian's browser: none is downloaded.
const browser = process.env.GLASSBOX_BROWSER ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);

export default defineConfig({
  testDir: "tests",
  testMatch: "*.browser.ts",
  outputDir: "results",
  workers: 1,
  reporter: "list",
  timeout: 60_000,
  use: {
    launchOptions: {
      executablePath: browser,
      // Its sandbox needs rights that containers and root do not have. The page is our own.
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    },
  },
});
