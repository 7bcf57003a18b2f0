// The program's first file: its style, and its start.

import "./style.css";
import { start } from "./main.ts";

void start(document.getElementById("app") as HTMLElement);
